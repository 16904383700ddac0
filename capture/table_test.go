package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/platform"
)

// An ear is a listener that hears what a test says.
type ear struct {
	mu     sync.Mutex
	cond   *sync.Cond
	said   []saying
	closed bool
	late   bool // what is said is not found by Drain
	err    error
}

type saying struct {
	pair
	text string
}

func newEar() *ear {
	e := new(ear)
	e.cond = sync.NewCond(&e.mu)
	return e
}

func (e *ear) say(client, dst, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, saying{pair{netip.MustParseAddrPort(client), netip.MustParseAddrPort(dst)}, text})
	e.cond.Broadcast()
}

func (e *ear) Hear(heard func(p []byte, client, dst netip.AddrPort)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.said) == 0 || e.late {
		if e.closed {
			return net.ErrClosed
		}
		if err := e.err; err != nil {
			e.err = nil
			return err
		}
		e.cond.Wait()
	}
	e.one(heard)
	return nil
}

func (e *ear) one(heard func(p []byte, client, dst netip.AddrPort)) {
	s := e.said[0]
	e.said = e.said[1:]
	heard([]byte(s.text), s.client, s.dst)
}

func (e *ear) Drain(most int, heard func(p []byte, client, dst netip.AddrPort)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ; most > 0 && len(e.said) > 0; most-- {
		e.one(heard)
	}
	return nil
}

func (e *ear) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.cond.Broadcast()
	return nil
}

// A mouth is a socket towards a client.
type mouth struct {
	net.Conn
	mu     sync.Mutex
	cond   *sync.Cond
	in     []string
	out    []string
	past   bool
	closed bool
	from   netip.AddrPort
}

func (m *mouth) Sender() netip.AddrPort { return m.from }

func (m *mouth) ReadPooled(pool *sync.Pool) (*platform.Packet, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		switch {
		case m.closed:
			return nil, 0, net.ErrClosed
		case m.past:
			return nil, 0, os.ErrDeadlineExceeded
		case len(m.in) > 0:
			b := pool.Get().(*platform.Packet)
			n := copy(b[:], m.in[0])
			m.in = m.in[1:]
			return b, n, nil
		}
		m.cond.Wait()
	}
}

func (m *mouth) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	m.cond.Broadcast()
}

func (m *mouth) Write(p []byte) (int, error) {
	m.change(func() { m.out = append(m.out, string(p)) })
	return len(p), nil
}

func (m *mouth) SetReadDeadline(t time.Time) error {
	m.change(func() { m.past = !t.IsZero() })
	return nil
}

func (m *mouth) Close() error {
	m.change(func() { m.closed = true })
	return nil
}

// A stage is a table between an ear and mouths.
type stage struct {
	*table
	ear *ear
	log *strings.Builder

	mu     sync.Mutex
	mouths map[pair]*mouth
	errs   []error // what asking for a mouth fails with, one after the other
}

func onStage(t *testing.T, d Datagrams, f func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{ear: newEar(), log: new(strings.Builder), mouths: map[pair]*mouth{}}
		s.table = newTable(s.ear, slog.New(slog.NewTextHandler(s.log, nil)), d)
		s.addr = netip.MustParseAddrPort("192.168.1.1:8080")
		s.own = func(a netip.Addr) bool { return a == s.addr.Addr() }
		s.answer = func(_ context.Context, client, dst netip.AddrPort) (socket, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.errs) > 0 {
				err := s.errs[0]
				s.errs = s.errs[1:]
				return nil, err
			}
			m := new(mouth)
			m.cond = sync.NewCond(&m.mu)
			s.mouths[pair{client, dst}] = m
			return m, nil
		}
		s.begin()
		f(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if n := len(s.known); n != 0 || s.queued != 0 || s.recent.next != &s.recent {
			t.Errorf("%d conversations and %d bytes are left", n, s.queued)
		}
	})
}

func client(n int) string { return fmt.Sprintf("192.168.1.2:%d", 1000+n) }

const dst = "203.0.113.7:53"

func accept(t *testing.T, s *stage) *Conn {
	t.Helper()
	c, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Fatalf("read %q, %v; want %q", b[:n], err, want)
	}
}

func TestWhatCameFirstIsReadFirst(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), dst, "one")
		c := accept(t, s)
		defer c.Close()
		read(t, c, "one")
		s.ear.mu.Lock()
		s.ear.late = true // it waits in the listener
		s.ear.mu.Unlock()
		s.ear.say(client(1), dst, "two")
		s.ear.say(client(2), dst, "another's")
		s.answerIs(client(1), func(m *mouth) { m.in = []string{"three"} })
		read(t, c, "two")
		read(t, c, "three")
		other := accept(t, s)
		defer other.Close()
		read(t, other, "another's")
	})
}

// TestRest has something come that nobody accepts any more: it is there before Close.
func TestRest(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), dst, "one")
		synctest.Wait()
		s.ear.mu.Lock()
		s.ear.late = true // Hear does not hear it
		s.ear.mu.Unlock()
		s.ear.say(client(2), dst, "two")
		s.ear.mu.Lock()
		s.ear.late = false
		s.ear.mu.Unlock()
		first := s.Rest(1)
		rest := append(first, s.Rest(10)...)
		if len(first) != 1 || len(rest) != 2 || len(s.Rest(10)) != 0 {
			t.Fatalf("%d and %d", len(first), len(rest))
		}
		for i, want := range []string{"one", "two"} {
			if !rest[i].Conn.(*conversation).Waits() {
				t.Errorf("%d does not wait", i)
			}
			read(t, rest[i], want)
			rest[i].Close()
		}
	})
}

// answerIs changes the mouth that is made next for a client.
func (s *stage) answerIs(client string, change func(*mouth)) {
	was := s.answer
	s.answer = func(ctx context.Context, c, d netip.AddrPort) (socket, error) {
		sock, err := was(ctx, c, d)
		if err == nil && c.String() == client {
			change(sock.(*mouth))
		}
		return sock, err
	}
}

// TestWhatComesLateIsReadToo has something come to the listener while the socket is
// read.
func TestWhatComesLateIsReadToo(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), dst, "one")
		c := accept(t, s)
		defer c.Close()
		read(t, c, "one")
		time.AfterFunc(time.Second, func() { s.ear.say(client(1), dst, "late") })
		read(t, c, "late")
		m := s.mouths[c.Conn.(*conversation).pair]
		time.AfterFunc(time.Second, func() { m.change(func() { m.in = []string{"after"} }) })
		read(t, c, "after")
	})
}

func TestOneSocketForReadingAndWriting(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), dst, "one")
		c := accept(t, s)
		read(t, c, "one")
		made := 0
		s.answerIs(client(1), func(*mouth) { made++ })
		ended := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		for range 3 {
			if _, err := c.Write([]byte("answer")); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		m := s.mouths[c.Conn.(*conversation).pair]
		if made != 1 || len(m.out) != 3 {
			t.Errorf("%d sockets, %q sent", made, m.out)
		}
		c.Close()
		if err := <-ended; err != net.ErrClosed || !m.closed {
			t.Errorf("after Close: %v, socket closed %v", err, m.closed)
		}
		if _, err := c.Write([]byte("x")); err != net.ErrClosed {
			t.Errorf("write after Close: %v", err)
		}
	})
}

func TestTheSilentMakeRoom(t *testing.T) {
	onStage(t, Datagrams{Conversations: 3}, func(t *testing.T, s *stage) {
		var cs []*Conn
		for i := range 3 {
			s.ear.say(client(i), dst, "hello")
			c := accept(t, s)
			defer c.Close()
			read(t, c, "hello")
			cs = append(cs, c)
		}
		_, _ = cs[0].Write([]byte("not silent"))
		s.ear.say(client(3), dst, "hello")
		c := accept(t, s)
		defer c.Close()
		if _, err := cs[1].Read(make([]byte, 1)); !errors.Is(err, ErrCrowded) {
			t.Errorf("the one silent for longest: %v", err)
		}
		for _, i := range []int{0, 2} {
			if cs[i].Conn.(*conversation).over() {
				t.Errorf("conversation %d has ended", i)
			}
		}
		s.ear.say(client(4), dst, "hello") // and it is said once
		defer accept(t, s).Close()
		if n := strings.Count(s.log.String(), "conversations_ended=1"); n != 1 || strings.Count(s.log.String(), "\n") != 1 {
			t.Errorf("logged %s", s.log)
		}
	})
}

func TestWhatFindsNoRoomIsDropped(t *testing.T) {
	for name, tt := range map[string]struct {
		d     Datagrams
		size  int
		count int
		kept  int
	}{
		"too-many":     {Datagrams{}, 10, 100, queueCount},
		"too-long":     {Datagrams{}, 60000, 10, queueBytes / 60000},
		"all-together": {Datagrams{Waiting: 100}, 30, 10, 3},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, tt.d, func(t *testing.T, s *stage) {
				for i := range tt.count {
					s.ear.say(client(1), dst, fmt.Sprintf("%0*d", tt.size, i))
				}
				synctest.Wait()
				c := accept(t, s)
				defer c.Close()
				b := make([]byte, 65535)
				for i := range tt.kept {
					n, err := c.Read(b)
					if want := fmt.Sprintf("%0*d", tt.size, i); err != nil || string(b[:n]) != want {
						t.Fatalf("datagram %d: %q, %v", i, b[:n], err)
					}
				}
				if lost := c.Conn.(*conversation).Lost(); lost != int64(tt.count-tt.kept) || len(c.Conn.(*conversation).queue) != 0 {
					t.Errorf("%d are lost, want %d", lost, tt.count-tt.kept)
				}
				if !strings.Contains(s.log.String(), "datagrams_dropped=1") {
					t.Errorf("logged %s", s.log)
				}
			})
		})
	}
}

func TestConversationsThatNobodyAccepts(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		for i := range acceptMost + 10 {
			s.ear.say(client(i), dst, "hello")
		}
		synctest.Wait()
		if n := len(s.known); n != acceptMost || s.dropped+1 != 10 {
			t.Errorf("%d conversations, %d dropped", n, s.dropped)
		}
	})
}

func TestWhatIsNotCaptured(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), "192.168.1.1:8080", "for us")
		s.ear.say("[fe80::1]:1000", "[2001:db8::1]:53", "can't be answered")
		s.ear.say(client(2), "192.168.1.1:53", "for another service of ours")
		c := accept(t, s)
		defer c.Close()
		synctest.Wait()
		if c.Info.Client.String() != client(2) || len(s.known) != 1 {
			t.Errorf("%+v of %d", c.Info, len(s.known))
		}
	})
}

func TestSocketsThatCannotBeMade(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), dst, "hello")
		old := accept(t, s)
		defer old.Close()
		s.ear.say(client(2), dst, "hello")
		c := accept(t, s)
		defer c.Close()
		s.errs = []error{syscall.EMFILE}
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("with the descriptors of another: %v", err)
		}
		if !old.Conn.(*conversation).over() {
			t.Error("the silent one is still there")
		}
		s.ear.say(client(3), dst, "hello")
		no := accept(t, s)
		defer no.Close()
		s.errs = []error{syscall.EPERM, syscall.EPERM}
		read(t, no, "hello")
		for range 2 {
			if _, err := no.Read(make([]byte, 1)); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), client(3)) {
				t.Errorf("without a right: %v", err)
			}
		}
	})
}

func TestFailuresOfHearing(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.mu.Lock()
		s.ear.err = syscall.ENOBUFS
		s.ear.cond.Broadcast()
		s.ear.mu.Unlock()
		synctest.Wait()
		s.ear.say(client(1), dst, "hello") // heard after a pause
		defer accept(t, s).Close()
		s.ear.mu.Lock()
		s.ear.err = syscall.EBADF
		s.ear.cond.Broadcast()
		s.ear.mu.Unlock()
		if _, err := s.Accept(t.Context()); !errors.Is(err, syscall.EBADF) {
			t.Errorf("Accept of what is broken: %v", err)
		}
	})
}

func TestAcceptOfDatagramsEnds(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		why := errors.New("because")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := s.Accept(ctx); err != why {
			t.Errorf("%v", err)
		}
		time.AfterFunc(time.Second, func() { s.Close() })
		if _, err := s.Accept(t.Context()); err != net.ErrClosed {
			t.Errorf("%v", err)
		}
	})
}

// TestWhatIsAnothersIsHandedOn has a socket that was found for another client before it
// was connected to its own.
func TestWhatIsAnothersIsHandedOn(t *testing.T) {
	onStage(t, Datagrams{}, func(t *testing.T, s *stage) {
		s.ear.say(client(1), dst, "one")
		c := accept(t, s)
		defer c.Close()
		read(t, c, "one")
		s.answerIs(client(1), func(m *mouth) { m.in, m.from = []string{"another's"}, netip.MustParseAddrPort(client(2)) })
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = c.Read(make([]byte, 1))
		}()
		other := accept(t, s)
		defer other.Close()
		if other.Info.Client.String() != client(2) {
			t.Errorf("handed to %v", other.Info.Client)
		}
		read(t, other, "another's")
		c.Close()
		<-ended
	})
}
