package rootless

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Start starts the program. From then on signals that this process gets are the
// program's: see Wait and Signals. An error of the program's own start keeps the errno in its
// chain.
func (n *Namespace) Start(p Program) error {
	n.signals = make(chan os.Signal, 16)
	notify(n.signals)
	if err := n.line.sendValue(&message{Kind: askStart}, &p); err != nil {
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	m, ok := <-n.said
	if !ok {
		return ErrLost
	}
	for _, note := range m.Notes {
		n.log.Warn("the program may not trust what it gets", "why", note)
	}
	return m.err()
}

// LetGo gives up this process's standard input and output, once it has no use for
// them: they are the program's, and who has the other end is to see when it closes
// them. Standard error is kept.
func LetGo() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return errors.Join(unix.Dup3(int(null.Fd()), 0, 0), unix.Dup3(int(null.Fd()), 1, 0))
}

// Signals returns those that come when Wait has returned. They never get their usual
// meaning back: one that was sent to the program too may come to this process when
// that has ended of it.
func (n *Namespace) Signals() <-chan os.Signal { return n.signals }

// Wait waits until the program and all that it has started are gone, and says how
// it ended. Meanwhile signals that are sent to this process alone are passed on,
// and when the program is stopped this process stops too, so that the shell that
// waits for it has the terminal; both go on together.
func (n *Namespace) Wait() (End, error) {
	for {
		select {
		case s := <-n.signals:
			_ = n.line.send(&message{Kind: askSignal, Signal: int(s.(syscall.Signal))}) // or it is over
		case m, ok := <-n.said:
			switch {
			case !ok:
				return End{}, ErrLost
			case m.Kind == sayStopped:
				if err := n.stop(syscall.Signal(m.Signal)); err != nil {
					return End{}, err
				}
			case m.Kind == sayEnded:
				for _, note := range m.Notes {
					n.log.Warn("something of the program's is left", "why", note)
				}
				return m.End, nil
			case m.Kind == sayFailed:
				return End{}, errors.Join(ErrLost, m.err())
			}
		}
	}
}

// stop stops this process the way the program was, and has that go on afterwards.
func (n *Namespace) stop(by syscall.Signal) error {
	if err := stopSelf(by); err != nil {
		return fmt.Errorf("stop with the program: %w", err)
	}
	_ = n.line.send(&message{Kind: askResume}) // or it was continued by whoever continued us, and has ended
	return nil
}

// stopSelf returns when somebody has this process go on. Go has no way to give a
// signal that stops its meaning back once it was caught: the kernel is asked. The
// signal goes to this thread, so that it is stopped when the call returns.
func stopSelf(by syscall.Signal) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if by != unix.SIGSTOP {
		var byDefault, caught sigaction
		if err := setAction(by, &byDefault, &caught); err != nil {
			return err
		}
		defer func() { _ = setAction(by, &caught, nil) }() // what was just there
	}
	return unix.Tgkill(unix.Getpid(), unix.Gettid(), by)
}

// A sigaction is the kernel's, to be given back as it came. Zero is the default.
type sigaction [4]uint64

func setAction(s syscall.Signal, now, before *sigaction) error {
	const setSize = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(s), uintptr(unsafe.Pointer(now)), uintptr(unsafe.Pointer(before)), setSize, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
