package rootless

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Keep is the keeper, which Guard starts: proxy is the descriptor that the line to
// the proxy is, and guard one that ends when the guard does. It returns when the
// program has ended, or the proxy, or the guard.
//
//	network   lay out the network, make the sockets, send them
//	start     lay files over others, start the program
//	          pass on signals, make sockets that answer, say when it stops
//	ended     end what it left behind, say how it ended
//
// What it can't do it says to the proxy; the error is of a line that is none.
//
// lower gives up all rights but that to end others' processes, which is what the way
// of root is left with once the program runs. beside, if set, is given what Options.Beside
// is, inside, in a goroutine of its own; the way of root has no use for it.
func Keep(proxy, guard int, lower func() error, beside func(*os.File)) error {
	runtime.LockOSThread() // the program dies with the thread that started it
	defer runtime.UnlockOSThread()
	unix.CloseOnExec(guard)
	l, err := lineOf(os.NewFile(uintptr(proxy), "proxy"))
	if err != nil {
		return fmt.Errorf("descriptor %d: %w: transom run starts this by itself", proxy, err)
	}
	k := &keeper{line: l, lower: lower, beside: beside, witness: newWitness(), asked: make(chan request), children: newFamily("")}
	go k.hear()
	defer k.hangUp()
	k.unguarded = endOf(os.NewFile(uintptr(guard), "guard")) // until the process ends, which is when this returns
	return k.serve()
}

// A keeper is the process inside.
type keeper struct {
	line      *line
	lower     func() error
	beside    func(*os.File)
	brief     brief
	briefed   bool
	witness   *witness
	asked     chan request    // closed when the proxy is gone
	unguarded <-chan struct{} // closed when the guard is gone
	children  *family
	pid       int // the program's; 0 until it runs
}

// A request is a message and the files that came with it.
type request struct {
	*message
	files []*os.File
}

func (k *keeper) hear() {
	defer close(k.asked)
	for {
		m, files, err := k.line.receive()
		if err != nil {
			return
		}
		k.asked <- request{m, files}
	}
}

// hangUp ends hear, and waits for it.
func (k *keeper) hangUp() {
	k.line.c.Close()
	for r := range k.asked {
		closeFiles(r.files)
	}
}

// serve works on requests until the program has ended. A proxy that is gone takes
// the program with it, and so does a guard.
func (k *keeper) serve() error {
	for {
		select {
		case r, ok := <-k.asked:
			if !ok {
				return k.killAll()
			}
			if err := k.handle(r); err != nil {
				_ = k.line.send(failure(sayFailed, err)) // or nobody is there to hear of it
				return k.killAll()
			}
		case <-k.unguarded:
			return k.killAll()
		case c, ok := <-k.children.ended:
			switch {
			case !ok || c.pid != k.pid: // one that the program left behind
			case c.status.Stopped():
				_ = k.line.send(&message{Kind: sayStopped, Signal: int(c.status.StopSignal())})
			default:
				return k.end(c)
			}
		}
	}
}

func failure(as kind, err error) *message {
	m := &message{Kind: as, Error: err.Error(), Errno: uint32(unix.EIO)}
	var e unix.Errno
	if errors.As(err, &e) {
		m.Errno = uint32(e)
	}
	return m
}

func (k *keeper) handle(r request) error {
	defer closeFiles(r.files)
	switch r.Kind {
	case askNetwork:
		return k.network(r)
	case askStart:
		return k.start(r)
	case askSignal:
		k.pass(unix.Signal(r.Signal))
	case askResume:
		_ = unix.Kill(k.pid, unix.SIGCONT)
	case askAnswer:
		if !k.byRoot() {
			k.answer(r)
		}
	case askRefuse:
		if !k.byRoot() {
			_ = refuse(r.Client, r.Dst) // or the client waits, as for a lost datagram
		}
	}
	return nil
}

// byRoot reports whether this is the way of root, where the proxy is not to be
// trusted once it reads what strangers send: it has no rights, and this process has.
// What the program is and finds is settled before that, and once.
func (k *keeper) byRoot() bool { return k.brief.Cgroup != "" }

// network makes what is around the program.
func (k *keeper) network(r request) error {
	if len(r.files) < 1 || len(r.files) > 2 || k.briefed {
		return errors.New("a brief without a file, or another one")
	}
	k.briefed = true
	if err := readFrom(r.files[0], &k.brief); err != nil {
		return err
	}
	k.children.cgroup = k.brief.Cgroup
	// What others mount later is to be seen here, and nothing of ours there.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// What the program leaves behind is the keeper's to end.
	if err := becomeReaper(); err != nil {
		return err
	}
	if k.byRoot() {
		return k.prepareByRoot()
	}
	if err := k.brief.Network.lay(); err != nil {
		return err
	}
	var fds [2]int
	var err error
	for i, kind := range [...]int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		if fds[i], err = listen(kind); err != nil {
			return err
		}
		defer unix.Close(fds[i])
	}
	if len(r.files) == 2 && k.beside != nil {
		pair, err := unix.FcntlInt(r.files[1].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		go k.beside(os.NewFile(uintptr(pair), "pair")) // until its other end is closed, or the process ends
	}
	return k.line.send(&message{Kind: sayReady}, fds[:]...)
}

// answer makes a socket for the proxy.
func (k *keeper) answer(r request) {
	fd, err := answer(r.Client, r.Dst)
	if err != nil {
		m := failure(saySocket, err)
		m.ID = r.ID
		_ = k.line.send(m)
		return
	}
	_ = k.line.send(&message{Kind: saySocket, ID: r.ID}, fd)
	unix.Close(fd)
}

// leaveWithin is how long processes that the program left behind may take to end by
// themselves.
const leaveWithin = time.Second

// end ends what the program left and says how it ended.
func (k *keeper) end(program child) error {
	m := &message{Kind: sayEnded}
	if program.status.Signaled() {
		m.End.Signal = int(program.status.Signal())
	} else {
		m.End.Code = program.status.ExitStatus()
	}
	m.End.Left = k.children.dismiss(unix.SIGTERM, leaveWithin)
	if err := k.children.sweep(); err != nil {
		m.Notes = []string{err.Error()}
	}
	return k.line.send(m)
}

// killAll ends everything at once.
func (k *keeper) killAll() error {
	if k.pid != 0 {
		k.children.dismiss(unix.SIGKILL, 0)
	}
	return k.children.sweep()
}
