package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transom/platform"
)

// A tale is what a rootServer was told to do with the host, and what it said.
type tale struct {
	lines []string
	fail  error       // of Apply
	lost  atomic.Bool // Tend finds that pf is off
}

func (d *tale) Apply(_ context.Context, want platform.Steering) error {
	d.lines = append(d.lines, "apply "+stateOf(want))
	return d.fail
}

func stateOf(s platform.Steering) string {
	switch {
	case s.IsZero():
		return "off"
	case s.Refusing:
		return "refusing"
	case s.Draining:
		return "draining"
	}
	return "on"
}

func (d *tale) Leave(context.Context) error                 { d.lines = append(d.lines, "leave"); return nil }
func (d *tale) Leftovers(context.Context) ([]string, error) { return nil, nil }
func (d *tale) Cleanup(context.Context) ([]string, error)   { return nil, nil }
func (d *tale) Abandon() error                              { return nil }
func (d *tale) Tend(context.Context) (string, error) {
	d.lines = append(d.lines, "tend")
	if d.lost.Load() {
		return "", errors.New("pf is off")
	}
	return "", nil
}

// A stage is a rootServer whose peers are this test.
type stage struct {
	*tale
	*rootServer
	requests chan request
	watch    chan struct{}
	told     chan string
	deaf     atomic.Bool // nobody answers pings
	ended    chan error
}

func newStage(closed bool) *stage {
	c := Charter{Steering: platform.Steering{Method: platform.Redirect, Port: 8080, Interfaces: []string{"em1"}, Closed: closed}}
	s := &stage{tale: &tale{}, requests: make(chan request), watch: make(chan struct{}), told: make(chan string), ended: make(chan error, 1)}
	pongs := make(chan request, 1)
	s.rootServer = newRootServer(c, s.tale, func(r report) error {
		words := fmt.Sprintf("say %d", r.kind)
		switch r.kind {
		case sayHello:
			words = "hello"
		case sayAnswer:
			words = fmt.Sprintf("answer %d %s", r.id, r.text)
		case sayPing:
			if !s.deaf.Load() {
				pongs <- request{kind: sayPong, id: r.id}
			}
			return nil
		case sayLost, sayEnd:
			words = string(r.text)
		}
		s.lines = append(s.lines, strings.TrimSpace(words))
		return nil
	}, slog.New(slog.DiscardHandler))
	merged := make(chan request)
	go func() {
		defer close(merged)
		for {
			select {
			case r := <-pongs:
				merged <- r
			case r, ok := <-s.requests:
				if !ok {
					return
				}
				merged <- r
			case err := <-s.ended: // it was not the proxy
				s.ended <- err
				return
			}
		}
	}()
	go func() { s.ended <- s.run(context.Background(), rootEvents{merged, s.watch, s.told}) }()
	return s
}

func (s *stage) ask(id uint64, to state) {
	s.requests <- request{kind: askApply, id: id, state: to}
	synctest.Wait()
}

// TestRootServer has each way to end, hermetically.
func TestRootServer(t *testing.T) {
	on := func(s *stage) { s.ask(1, on) }
	for name, tt := range map[string]struct {
		closed bool
		do     func(*stage)
		want   string
	}{
		"proxy gone":                {false, func(s *stage) { on(s); close(s.requests) }, "hello, apply on, answer 1, leave"},
		"proxy gone before it asks": {false, func(s *stage) { close(s.requests) }, "hello"},
		"orderly": {false, func(s *stage) {
			on(s)
			s.ask(2, draining)
			s.ask(3, off)
			close(s.requests)
		}, "hello, apply on, answer 1, apply draining, answer 2, apply off, answer 3"},
		"watch gone": {false, func(s *stage) { on(s); close(s.watch) }, "hello, apply on, answer 1, leave, its watch has ended"},
		"told": {false, func(s *stage) {
			on(s)
			s.told <- "told to end"
			synctest.Wait()
			s.ask(2, off)
			close(s.requests)
		}, "hello, apply on, answer 1, told to end, apply off, answer 2"},
		"apply fails": {false, func(s *stage) { s.fail = errors.New("no"); on(s); close(s.requests) }, "hello, apply on, answer 1 no, leave"},
		"not steering": {false, func(s *stage) {
			s.requests <- request{kind: askPrepare, id: 7}
			close(s.requests)
		}, "hello, answer 7 refused by the helper: this helper steers, and does nothing else"},
		"proxy hangs, and comes back": {false, func(s *stage) {
			on(s)
			s.deaf.Store(true)
			time.Sleep(8 * time.Second)
			synctest.Wait()
			s.requests <- request{kind: sayPong, id: s.pulse.id}
			synctest.Wait()
			s.deaf.Store(false)
			close(s.requests)
		}, "hello, apply on, answer 1, apply draining, apply on, leave"},
		"proxy hangs, and nothing may go past it": {true, func(s *stage) {
			on(s)
			s.deaf.Store(true)
			time.Sleep(8 * time.Second)
			synctest.Wait()
			close(s.requests)
		}, "hello, apply on, answer 1, apply refusing, leave"},
		"looked after": {false, func(s *stage) {
			on(s)
			time.Sleep(21 * time.Second)
			synctest.Wait()
			s.lost.Store(true)
			time.Sleep(20 * time.Second)
			synctest.Wait()
			close(s.requests)
		}, "hello, apply on, answer 1, tend, tend, tend, tend, leave"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(tt.closed)
				tt.do(s)
				if err := <-s.ended; err != nil {
					t.Error(err)
				}
				s.ended <- nil
				synctest.Wait()
				if got := strings.Join(s.lines, ", "); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

// TestRootServerRationed: a proxy that asks without end is refused, but for the end.
func TestRootServerRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(false)
		for i := range 30 {
			s.ask(uint64(i), on)
		}
		s.ask(99, off)
		close(s.requests)
		if err := <-s.ended; err != nil {
			t.Error(err)
		}
		s.ended <- nil
		if n := len(slices.DeleteFunc(slices.Clone(s.lines), func(l string) bool { return l != "apply on" })); n != 20 {
			t.Errorf("%d were let pass", n)
		}
		if !slices.Contains(s.lines, "apply off") || slices.Contains(s.lines, "leave") {
			t.Errorf("%q", s.lines)
		}
	})
}

// TestRootLine: messages arrive as they were, and what is no message ends the line.
func TestRootLine(t *testing.T) {
	near, far := net.Pipe()
	var all sync.WaitGroup
	defer all.Wait()
	defer near.Close()
	all.Go(func() {
		defer far.Close()
		l := rootLine{far}
		if err := errors.Join(l.ask(request{kind: askApply, id: 5, state: on}), l.say(report{kind: sayLog, text: []byte("hi")})); err != nil {
			t.Error(err)
		}
		if _, err := far.Write([]byte{0xff, 0xff}); err != nil {
			t.Error(err)
		}
	})
	l := rootLine{near}
	var buf [reportMax]byte
	b, err := l.read(buf[:])
	if r, e := parseRequest(b); err != nil || e != nil || r.id != 5 || r.state != on {
		t.Errorf("%v, %v, %v", r, err, e)
	}
	b, err = l.read(buf[:])
	if r, e := parseReport(b); err != nil || e != nil || string(r.text) != "hi" {
		t.Errorf("%v, %v, %v", r, err, e)
	}
	if _, err := l.read(buf[:]); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}
