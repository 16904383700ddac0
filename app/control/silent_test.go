package control_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transom/app/control"
	"transom/flow"
	"transom/store"
)

// A stoppable recording takes time for what it is asked, or, from its first flow on,
// does not get to anything.
type stoppable struct {
	control.Recording
	takes   time.Duration
	stopped chan struct{} // nil: it never is; closed: it is no more
	begun   chan struct{} // closed once it has stopped
}

func (s *stoppable) Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		time.Sleep(s.takes)
		for i := range 5000 { // more than waits to be sent
			if !yield(&flow.Flow{ID: flow.ID{14: byte(i >> 8), 15: byte(i)}}, nil) {
				return
			}
		}
		if s.stopped != nil {
			close(s.begun)
			<-s.stopped
		}
	}
}

func (s *stoppable) Stats() (d store.DiskStats) {
	select {
	case <-s.begun:
		<-s.stopped
	default:
	}
	return d
}

// What takes long is waited for, as long as the process answers at all.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := looked(t, &stoppable{takes: time.Hour, begun: make(chan struct{})})
		if n := len(all(t, c, store.Query{})); n != 5000 {
			t.Errorf("got %d flows", n)
		}
	})
}

// One that stops in the middle of an answer has given what it had until then.
func TestStopsAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stoppable{stopped: make(chan struct{}), begun: make(chan struct{})}
		c := looked(t, s)
		t.Cleanup(func() { close(s.stopped) })
		n, began := 0, time.Now()
		for f, err := range c.Flows(t.Context(), store.Query{}) {
			if f != nil {
				n++
				continue
			}
			isSilent(t, "flows", err)
		}
		if took := time.Since(began); n < 1000 || took > 10*time.Second {
			t.Errorf("got %d flows in %v", n, took)
		}
	})
}

// One that takes connections, and answers nothing.
func TestNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{c: make(chan net.Conn), done: make(chan struct{})}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() { _, _ = io.Copy(io.Discard, c) }()
			}
		}()
		c := control.New(4711, l.dial)
		for name, ask := range map[string]func() error{
			"about":  func() error { _, err := c.About(t.Context()); return err },
			"body":   func() error { _, err := c.OpenBody(t.Context(), flow.BodyRef{}); return err },
			"delete": func() error { return c.Delete(t.Context(), flow.ID{}) },
		} {
			began := time.Now()
			isSilent(t, name, ask())
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s: that was %v", name, took)
			}
		}
		c.Close()
		l.Close()
	})
}

func isSilent(t *testing.T, name string, err error) {
	t.Helper()
	var silent *control.SilentError
	if !errors.As(err, &silent) || silent.PID != 4711 || !strings.HasPrefix(silent.Error(), "process 4711 does not answer") {
		t.Errorf("%s: %v", name, err)
	}
}
