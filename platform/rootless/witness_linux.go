package rootless

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// witnessWithin is how much later than to the proxy a signal that was sent to the
// process group may come to the keeper's notice.
const witnessWithin = 50 * time.Millisecond

// passed are the signals that are passed on. A stopped program stops us too, see
// Namespace.Wait.
func passed() []syscall.Signal {
	return []syscall.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU,
	}
}

// notify has c get the signals that are passed on, but for those that are ignored:
// programs are started to ignore them, as by nohup, and this would undo it.
func notify(c chan os.Signal) {
	for _, s := range passed() {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}

// A witness knows which signals came to the keeper. It is in the process group of
// the proxy: what a terminal or a shell sends to the group comes to the program by
// itself, and what was sent to the proxy alone has to be passed on.
type witness struct {
	c    chan os.Signal
	seen map[os.Signal]bool
}

func newWitness() *witness {
	w := &witness{c: make(chan os.Signal, 64), seen: map[os.Signal]bool{}}
	notify(w.c)
	return w
}

// saw reports whether s has come since it was last asked.
func (w *witness) saw(s os.Signal) bool {
	late := time.NewTimer(witnessWithin)
	defer late.Stop()
	for !w.seen[s] {
		select {
		case came := <-w.c:
			w.seen[came] = true
		case <-late.C:
			return false
		}
	}
	delete(w.seen, s)
	return true
}

// forget forgets what came.
func (w *witness) forget() {
	for len(w.c) > 0 {
		<-w.c
	}
	clear(w.seen)
}

// pass passes on a signal that came to the proxy, unless it came to the program.
func (k *keeper) pass(s syscall.Signal) {
	if k.pid == 0 {
		return
	}
	group, err := unix.Getpgid(k.pid)
	if k.witness.saw(s) && err == nil && group == unix.Getpgrp() {
		return
	}
	_ = unix.Kill(k.pid, s) // it may have ended
}
