package pf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An Asker asks a process that may ask pf. It may be used concurrently.
type Asker struct {
	mu   sync.Mutex
	line net.Conn
	lost error

	process *exec.Cmd // nil: somebody else's
}

// answerWithin bounds the wait for an answer. What it takes is a look into a table,
// or else pfctl's time to print that.
const answerWithin = printWithin + 2*time.Second

// NewAsker returns an Asker for a Serve at the other end of line, of which it waits
// for the first word. It takes line over, and closes it if it fails.
func NewAsker(line net.Conn) (*Asker, error) {
	a := &Asker{line: line}
	_ = line.SetDeadline(time.Now().Add(answerWithin))
	_, said, err := readAnswer(line)
	if err == nil && said != nil && said.Error() == errReady.Error() {
		return a, nil
	}
	if err == nil {
		err = said
	}
	line.Close()
	return nil, fmt.Errorf("start who asks pf: %w", err)
}

// Start runs a program that calls Serve with descriptor 3. It is a process group
// of its own, since it has to go on while the terminal's signals end us.
func Start(program string, args ...string) (*Asker, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("start who asks pf: %w", err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	cmd.Env = []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("start who asks pf: %w", err)
	}
	a, err := NewAsker(ours)
	if err != nil {
		return nil, errors.Join(err, cmd.Wait())
	}
	a.process = cmd
	return a, nil
}

// pair returns the ends of a line, of which theirs is for another process.
func pair() (ours net.Conn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	file := os.NewFile(uintptr(fds[0]), "pf")
	defer file.Close()
	theirs = os.NewFile(uintptr(fds[1]), "pf")
	if ours, err = net.FileConn(file); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// Original implements Looker. When no answer comes there will be none any more.
func (a *Asker) Original(client, local netip.AddrPort) (netip.AddrPort, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost != nil {
		return netip.AddrPort{}, a.lost
	}
	client, local = plain(client), plain(local)
	if err := askable(client, local); err != nil {
		return netip.AddrPort{}, err
	}
	_ = a.line.SetDeadline(time.Now().Add(answerWithin))
	err := writeQuestion(a.line, client, local)
	var dst netip.AddrPort
	var failed error
	if err == nil {
		dst, failed, err = readAnswer(a.line)
	}
	if err != nil {
		a.lost = fmt.Errorf("the process that asks pf is gone: start transom again: %w", err)
		a.line.Close()
		return netip.AddrPort{}, a.lost
	}
	return dst, failed
}

// Close ends the process, and waits for it.
func (a *Asker) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.line.Close()
	if a.lost != nil {
		err = nil // closed then
	} else {
		a.lost = fmt.Errorf("ask pf: %w", net.ErrClosed)
	}
	if a.process != nil {
		err = errors.Join(err, a.process.Wait())
		a.process = nil
	}
	return err
}
