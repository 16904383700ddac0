package nettest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"transom/platform/lab"
)

// echoes has the server's port 80 send back what it gets.
func (w *world) echoes() {
	w.t.Helper()
	w.handle(80, func(c *net.TCPConn) { io.Copy(c, c) })
}

// A live connection is one that goes on while things happen to transom.
type live struct {
	t *testing.T
	net.Conn
}

// live opens a connection to the echo and sees it work.
func (w *world) live(addr string) *live {
	w.t.Helper()
	l := &live{w.t, w.dial(addrPort(addr, 80).String())}
	l.works("at first")
	return l
}

// works checks that bytes still go both ways.
func (l *live) works(when string) {
	l.t.Helper()
	if err := l.echo(); err != nil {
		l.t.Errorf("an open connection, %s: %v", when, err)
	}
}

func (l *live) echo() error {
	const text = "\x00there and back\n"
	if err := l.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(l, text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(l, b); err != nil || string(b) != text {
		return fmt.Errorf("got %q, %w", b, err)
	}
	return nil
}

// TestGatewaySecondInterrupt interrupts it twice: it ends at once, in order.
func TestGatewaySecondInterrupt(t *testing.T) {
	w := newGatewayWorld(t)
	w.echoes()
	w.secure(w.Server, 443)
	before := w.state(w.Gateway)
	g := w.gateway("--grace", "1m")
	c := w.live(lab.ServerAddr4)
	g.signal(syscall.SIGINT)
	eventually(t, "the drain", func() bool { return w.reach(w.Client, &net.Dialer{}, addrPort(lab.ServerAddr4, 443)).how == direct })
	c.works("while it drains")
	g.signal(syscall.SIGINT)
	g.wait(0)
	w.alone()
	w.restored(w.Gateway, before)
	if err := c.echo(); err == nil {
		t.Error("an open connection has outlived transom")
	}
}

// TestGatewayDrain ends it while a connection is open: that one lives on, new
// ones go direct.
func TestGatewayDrain(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.echoes()
			w.secure(w.Server, 443)
			w.secure(w.Server, 8443)
			w.datagrams(5353)
			w.filter(strict)
			before := w.state(w.Gateway)
			g := w.gateway(append(way.args, "--grace", "1m")...)
			open := []*live{w.live(lab.ServerAddr4), w.live(lab.ServerAddr6)}
			g.signal(syscall.SIGTERM)
			for _, f := range families {
				eventually(t, "new connections to go direct", func() bool {
					return w.reach(w.Client, &net.Dialer{}, addrPort(f.addr, 443)).how == direct
				})
			}
			w.wantAll(w.Client, 443, direct, seenClient)
			w.others(w.Client, seenClient)
			for _, l := range open {
				l.works("while it drains")
				l.Close()
			}
			if t.Failed() {
				return
			}
			g.wait(0)
			w.alone()
			w.restored(w.Gateway, before)
			w.noneInvalid()
		})
	}
}

// TestGatewayHelperDies kills the helper: its rules are back soon, and what is
// open does not notice.
func TestGatewayHelperDies(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.echoes()
			w.secure(w.Server, 443)
			w.filter(strict)
			before := w.state(w.Gateway)
			g := w.gateway(way.args...)
			armed := w.state(w.Gateway)
			open := []*live{w.live(lab.ServerAddr4), w.live(lab.ServerAddr6)}
			for range 2 {
				w.killHelper()
				for _, l := range open {
					l.works("when the helper was killed")
				}
				eventually(t, "the rules to be back", w.armed)
				w.restored(w.Gateway, armed)
				w.wantAll(w.Client, 443, captured, way.seen)
				for _, l := range open {
					l.works("when the helper was back")
				}
			}
			for _, l := range open {
				l.Close()
			}
			g.stop()
			w.alone()
			w.restored(w.Gateway, before)
			w.noneInvalid()
		})
	}
}

// killHelper kills the helper, and returns when it has been buried: its command
// line goes first, then its first thread, and its rules with the last one.
func (w *world) killHelper() {
	w.t.Helper()
	old := w.process(helper)
	kill(w.t, old)
	eventually(w.t, "the helper to end", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", old))
		return errors.Is(err, os.ErrNotExist)
	})
}

// TestGatewayHelperKeepsDying kills the helper again and again: transom gives up
// in order.
func TestGatewayHelperKeepsDying(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	before := w.state(w.Gateway)
	g := w.gateway()
	dead := 0
	eventually(t, "transom to give up", func() bool {
		if g.gone() {
			return true
		}
		for _, pid := range w.processes(helper) {
			kill(t, pid)
			dead++
		}
		return false
	})
	g.wait(1)
	w.alone()
	w.restored(w.Gateway, before)
	w.wantAll(w.Client, 443, direct, seenClient)
	if dead < 3 {
		t.Errorf("it gave up when the helper had died %d times", dead)
	}
}
