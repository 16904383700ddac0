package rootless

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// start starts the program.
func (k *keeper) start(r request) error {
	if len(r.files) != 1 || k.pid != 0 {
		return errors.New("a program to start without a file")
	}
	var p Program
	if err := readFrom(r.files[0], &p); err != nil {
		return err
	}
	var notes []string
	err := k.asCaller(func() (err error) {
		notes, err = layOver(p.Hide, p.Files, k.owner())
		return err
	})
	if err != nil {
		return err
	}
	hands, err := p.hand()
	if err != nil {
		return err
	}
	defer closeFiles(hands)
	k.witness.forget() // what came before there was a program to get it, too
	if k.pid, err = k.spawn(&p); err != nil {
		return fmt.Errorf("start %s: %w", p.Path, err)
	}
	go k.children.reap() // until there are no children
	if err := LetGo(); err != nil {
		return err
	}
	if k.byRoot() && k.lower != nil {
		if err := k.lower(); err != nil {
			return fmt.Errorf("give up the keeper's rights: %w", err)
		}
	}
	return k.line.send(&message{Kind: sayStarted, Notes: notes})
}

// spawn starts the program in a user namespace of its own, in which the caller is
// the caller and nobody root: it has no capability and no way to one. It stays in
// the process group, and so in the foreground of the terminal if we are.
func (k *keeper) spawn(p *Program) (int, error) {
	attr := &os.ProcAttr{
		Env: p.Env, Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: k.brief.As.UID, HostID: 0, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: k.brief.As.GID, HostID: 0, Size: 1}},
			Pdeathsig:   syscall.SIGKILL,
		},
	}
	if k.byRoot() {
		into, err := k.within(attr.Sys)
		if err != nil {
			return 0, err
		}
		defer into.Close()
	}
	started, err := os.StartProcess(p.Path, p.Args, attr)
	if errors.Is(err, unix.ENOEXEC) { // a script that does not say whose: a shell's
		started, err = os.StartProcess("/bin/sh", append([]string{"sh", p.Path}, p.Args[1:]...), attr)
	}
	if err != nil {
		return 0, err
	}
	defer started.Release() // reap waits for all
	return started.Pid, nil
}

// hand opens the files of Hand, which the program inherits, and names them.
func (p *Program) hand() ([]*os.File, error) {
	if len(p.Hand) == 0 {
		return nil, nil
	}
	var files []*os.File
	var names []string
	for i := range p.Hand {
		fd, err := unix.MemfdCreate("transom", 0)
		if err != nil {
			return files, err
		}
		files = append(files, os.NewFile(uintptr(fd), "transom"))
		names = append(names, fmt.Sprintf("{fd:%d}", i), strconv.Itoa(fd))
	}
	r := strings.NewReplacer(names...)
	for _, texts := range [][]string{p.Args, p.Env, p.Hand} {
		for i := range texts {
			texts[i] = r.Replace(texts[i])
		}
	}
	for i, content := range p.Hand {
		if _, err := files[i].WriteString(content); err != nil {
			return files, err
		}
		if _, err := files[i].Seek(0, 0); err != nil {
			return files, err
		}
	}
	return files, nil
}
