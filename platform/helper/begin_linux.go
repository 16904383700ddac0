package helper

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Descriptors that a watch and a helper are started with. The role is on standard
// input.
const (
	pairFD  = 3 // the helper's end of the pair
	leashFD = 4 // a pipe that ends with who started us
	notesFD = 5 // a helper's memory; what follows, at a watch from here on, is the lock
)

// lock is what this process was given of the lock, from a descriptor on. It has it
// until it ends.
func (r *role) lock(from int) (list []*os.File) {
	for fd := from; fd < from+r.Held; fd++ {
		unix.CloseOnExec(fd)
		list = append(list, os.NewFile(uintptr(fd), "lock"))
	}
	return list
}

// deafen makes the process deaf to what a terminal, or a service manager that ends
// all of a unit, sends to everybody: the proxy decides when it is over. A pipe of
// standard error that nobody reads must not end it either.
func deafen() {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTOU)
}

// handOn tells the proxy when this process is told to end: who does that has found
// it in a list and means all of it. stop makes it deaf again.
func (v *voice) handOn() (stop func()) {
	told, quit := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(told, unix.SIGINT, unix.SIGTERM)
	var handing sync.WaitGroup
	handing.Go(func() {
		for {
			select {
			case s := <-told:
				why := fmt.Sprintf("its process %d was told to (%s)", os.Getpid(), s)
				_ = v.say(report{kind: sayEnd, text: []byte(why)}, -1) // a proxy that is gone need not know
			case <-quit:
				return
			}
		}
	})
	return func() {
		deafen()
		close(quit)
		handing.Wait()
	}
}

// begin reads what this process is to be, and finds its end of the pair.
func begin() (role, *voice, error) {
	f := os.NewFile(pairFD, "proxy")
	if f == nil {
		return role{}, nil, fmt.Errorf("helper: descriptor %d is missing", pairFD)
	}
	unix.CloseOnExec(pairFD)
	unix.CloseOnExec(leashFD)
	p, err := pairOf(f)
	if err != nil {
		return role{}, nil, fmt.Errorf("helper: %w", err)
	}
	var r role
	v := &voice{pair: p}
	if err = json.NewDecoder(io.LimitReader(os.Stdin, 1<<20)).Decode(&r); err == nil {
		err = r.Charter.Check()
	}
	if err != nil {
		return role{}, nil, fmt.Errorf("helper: read the charter: %w", err)
	}
	return r, v, nil
}
