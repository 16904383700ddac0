package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Descriptors that who looks is started with.
const (
	pairFD    = 3 // its end of the pair
	socketsFD = 4 // to ask for sockets of another network by, if the role has it
)

// A role is the first message.
type role struct {
	Charter Charter
	Sockets bool // there is socketsFD
}

// Serve answers questions until nobody is there to ask. It is what Options.Program comes
// to.
func Serve() error {
	// A terminal, or a service manager that ends all of a unit, tells everybody: whose
	// connections these are is of interest until the last has ended.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTOU)
	c, err := pairOf(os.NewFile(pairFD, "proxy"))
	if err != nil {
		return fmt.Errorf("descriptor %d: %w: transom starts this by itself", pairFD, err)
	}
	defer c.Close()
	b := make([]byte, max(roleMost, batchMost*questionSize)+1)
	n, err := c.Read(b)
	if err != nil {
		return err
	}
	var r role
	if err := json.Unmarshal(b[:n], &r); err != nil {
		return fmt.Errorf("read what to look for: %w", err)
	}
	fd := socketsFD
	unix.CloseOnExec(socketsFD)
	if !r.Sockets {
		if fd, err = openSockets(); err != nil {
			return err
		}
	}
	f := newFinder(r.Charter, fd)
	defer f.close()
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
		f.find(qs, func(a *answer) {
			out = a.append(out[:0])
			_, _ = c.Write(out) // a proxy that is gone is noticed above
		})
	}
}

// pairOf takes over an end of a pair.
func pairOf(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("that is no socket pair")
	}
	return u, nil
}
