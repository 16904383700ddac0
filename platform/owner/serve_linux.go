package owner

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// pairFD is the descriptor that who looks is started with: its end of the pair.
const pairFD = 3

// Serve answers questions until nobody is there to ask. It is what Options.Program comes
// to. hold is called when all is open that it asks by, and before the first question: by
// then the process should have no more rights than it takes.
func Serve(hold func() error) error {
	// A terminal, or a service manager that ends all of a unit, tells everybody: whose
	// connections these are is of interest until the last has ended.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTOU)
	return serveOn(os.NewFile(pairFD, "proxy"), hold)
}

// ServeOn answers questions about this process's network that come over far, which it
// takes over, until nobody is there to ask.
func ServeOn(far *os.File) error { return serveOn(far, func() error { return nil }) }

func serveOn(far *os.File, hold func() error) error {
	c, err := platform.TakePair(far)
	if err != nil {
		return fmt.Errorf("use a pair: %w: transom starts this by itself", err)
	}
	defer c.Close()
	b := make([]byte, max(charterMost, batchMost*questionSize)+1)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	var charter Charter
	if err := json.Unmarshal(b[:n], &charter); err != nil {
		return fmt.Errorf("read what to look for: %w", err)
	}
	fd, err := openSockets()
	if err != nil {
		return err
	}
	f := newFinder(charter, fd)
	defer f.close()
	if err := hold(); err != nil {
		return err
	}
	return serve(c, f, b)
}

// serve answers one batch after the other.
func serve(c *net.UnixConn, f *finder, b []byte) error {
	out := make([]byte, 0, answerMost)
	for {
		n, err := c.Read(b)
		if err != nil || n == 0 {
			return nil
		}
		qs, err := parseQuestions(b[:n])
		if err != nil {
			return err
		}
		// To ask the kernel costs time, too, though hardly any: who asks without end, a
		// proxy that was taken over, is kept waiting.
		f.budget.grow(time.Now())
		rest(c, f.budget.rest())
		f.find(qs, func(a *answer) {
			out = a.append(out[:0])
			_, _ = c.Write(out) // a proxy that is gone is noticed above
		})
	}
}

// rest waits until time has passed, or nobody is there to ask any more.
func rest(c *net.UnixConn, within time.Duration) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) { // likewise
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd)}}, int(within.Milliseconds())) // of events but for the end none is asked for
	})
}
