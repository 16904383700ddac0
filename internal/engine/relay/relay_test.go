package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/engine/relay"
	"transom/internal/testnet"
	"transom/message"
	"transom/platform/splice"
)

// A line is a relay between a client and a server in memory.
type line struct {
	client, server *testnet.Conn // the far ends
	result         chan relay.Result
	stop           context.CancelFunc
}

func connect(t *testing.T, r *relay.Relay, fromClient, fromServer string, mw message.Middleware) *line {
	t.Helper()
	a, b := netip.MustParseAddrPort("192.168.1.2:5000"), netip.MustParseAddrPort("203.0.113.7:80")
	client, ours := testnet.Pipe(a, b)
	up, server := testnet.Pipe(a, b)
	ctx, stop := context.WithCancel(t.Context())
	l := &line{client: client, server: server, result: make(chan relay.Result, 1), stop: stop}
	go func() {
		c, s := relay.Side{Conn: ours, Prefix: []byte(fromClient)}, relay.Side{Conn: up, Prefix: []byte(fromServer)}
		if mw == nil {
			l.result <- r.Copy(ctx, c, s)
		} else {
			l.result <- r.Messages(ctx, &flow.Conn{}, c, s, mw)
		}
	}()
	return l
}

func say(t *testing.T, c io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

func TestPrefixesGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, &relay.Relay{}, "hel", "wor", nil)
		say(t, l.client, "lo")
		say(t, l.server, "ld")
		hear(t, l.server, "hello")
		hear(t, l.client, "world")
		l.client.CloseWrite()
		if p, err := io.ReadAll(l.server); len(p) > 0 || err != nil {
			t.Errorf("the server read %q, %v", p, err)
		}
		say(t, l.server, "still")
		l.server.Close()
		hear(t, l.client, "still")
		if got, want := <-l.result, (relay.Result{Bytes: [2]int64{5, 10}, Client: flow.FIN, Server: flow.FIN}); got != want {
			t.Errorf("result %+v, want %+v", got, want)
		}
	})
}

func TestResetsTravel(t *testing.T) {
	for name, fromClient := range map[string]bool{"client": true, "server": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := connect(t, &relay.Relay{}, "", "", nil)
				from, to := l.server, l.client
				if fromClient {
					from, to = l.client, l.server
				}
				from.SetLinger(0)
				from.Close()
				if _, err := to.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the other side read %v", err)
				}
				r := <-l.result
				if ends := map[bool]flow.Close{true: r.Client, false: r.Server}; ends[fromClient] != flow.RST {
					t.Errorf("result %+v", r)
				}
			})
		})
	}
}

// TestIdle: a relay is idle only when both directions are.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, &relay.Relay{Idle: time.Minute}, "", "", nil)
		start := time.Now()
		for range 10 {
			time.Sleep(50 * time.Second) // fake time
			say(t, l.server, "x")
			hear(t, l.client, "x")
		}
		if _, err := l.client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the idle client read %v", err)
		}
		if took := time.Since(start); took != 560*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if r := <-l.result; r.Client != flow.Timeout || r.Server != flow.Timeout {
			t.Errorf("result %+v", r)
		}
	})
}

func TestContextEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, &relay.Relay{}, "", "", nil)
		l.stop()
		<-l.result
		for _, c := range []net.Conn{l.client, l.server} {
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("a side goes on")
			}
		}
	})
}

func TestMessagesCanBeChangedAndDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shout := func(next message.Handler) message.Handler {
			return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, m *message.Message) error {
				if m.Dir == message.ToClient {
					return nil
				}
				m.Payload = []byte(strings.ToUpper(string(m.Payload)))
				return next.Message(ctx, c, m)
			})
		}
		l := connect(t, &relay.Relay{}, "", "", shout)
		say(t, l.client, "hi")
		hear(t, l.server, "HI")
		say(t, l.server, "secret")
		l.server.Close()
		if p, err := io.ReadAll(l.client); len(p) > 0 || err != nil {
			t.Errorf("the client read %q, %v", p, err)
		}
		l.client.Close()
		<-l.result
	})
}

// TestOnlyWhatWasWrittenCounts: not what handlers drop, nor what a side that is
// gone does not take.
func TestOnlyWhatWasWrittenCounts(t *testing.T) {
	t.Run("not-taken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			full := strings.Repeat("x", testnet.Buffer)
			l := connect(t, &relay.Relay{}, full, "", nil)
			synctest.Wait()
			say(t, l.client, full) // waits for room
			synctest.Wait()
			l.server.Close()
			if r := <-l.result; r.Bytes != [2]int64{testnet.Buffer, 0} || r.Silent {
				t.Errorf("result %+v", r)
			}
			l.client.Close()
		})
	})
	t.Run("dropped", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			drop := func(message.Handler) message.Handler {
				return message.HandlerFunc(func(context.Context, *flow.Conn, *message.Message) error { return nil })
			}
			l := connect(t, &relay.Relay{}, "hello", "", drop)
			l.server.Close()
			l.client.Close()
			if r := <-l.result; r.Bytes != [2]int64{} || r.Silent {
				t.Errorf("result %+v", r)
			}
		})
	})
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := connect(t, &relay.Relay{}, "", "", nil)
			l.server.Close()
			l.client.Close()
			if r := <-l.result; r.Bytes != [2]int64{} || !r.Silent {
				t.Errorf("result %+v", r)
			}
		})
	})
}

// TestBulk moves much and little by turns through buffers.
func TestBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := connect(t, &relay.Relay{}, "", "", nil)
		var all strings.Builder
		for i := range 40 {
			all.WriteString(strings.Repeat(string(rune('a'+i%26)), []int{1, 2047, 2048, 2049, 40000}[i%5]))
		}
		go func() {
			io.WriteString(l.client, all.String())
			l.client.Close()
		}()
		if p, err := io.ReadAll(l.server); string(p) != all.String() || err != nil {
			t.Errorf("%d bytes arrived of %d, %v", len(p), all.Len(), err)
		}
		l.server.Close()
		<-l.result
	})
}

// TestSplice is TestPrefixesGoFirst over sockets, which the kernel relays.
func TestSplice(t *testing.T) {
	pool := splice.NewPool(0)
	defer pool.Close()
	client, ours := sockets(t)
	up, server := sockets(t)
	result := make(chan relay.Result, 1)
	go func() {
		result <- (&relay.Relay{Pipes: pool, Idle: time.Minute}).Copy(t.Context(),
			relay.Side{Conn: ours, Prefix: []byte("hel")}, relay.Side{Conn: up, Prefix: []byte("wor")})
	}()
	say(t, client, "lo")
	say(t, server, "ld")
	hear(t, server, "hello")
	hear(t, client, "world")
	client.(*net.TCPConn).CloseWrite()
	if p, err := io.ReadAll(server); len(p) > 0 || err != nil {
		t.Errorf("the server read %q, %v", p, err)
	}
	server.Close()
	if got, want := <-result, (relay.Result{Bytes: [2]int64{5, 5}, Client: flow.FIN, Server: flow.FIN}); got != want {
		t.Errorf("result %+v, want %+v", got, want)
	}
	client.Close()
}

func sockets(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// A holder passes on what it was given once its direction is finished.
type holder struct {
	to   [2]io.Writer
	held [2][]byte
}

func (h *holder) Pass(_ context.Context, dir message.Direction, p []byte) error {
	h.held[dir] = append(h.held[dir], p...)
	return nil
}

func (h *holder) Finish(dir message.Direction) error {
	_, err := h.to[dir].Write(h.held[dir])
	return err
}

// TestThrough: what a conversation has held back goes out before the end that
// follows it.
func TestThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := netip.MustParseAddrPort("192.168.1.2:5000"), netip.MustParseAddrPort("203.0.113.7:80")
		client, ours := testnet.Pipe(a, b)
		up, server := testnet.Pipe(a, b)
		result := make(chan relay.Result, 1)
		go func() {
			result <- (&relay.Relay{}).Through(t.Context(), relay.Side{Conn: ours, Prefix: []byte("he")}, relay.Side{Conn: up},
				func(client, server io.Writer) relay.Conversation {
					return &holder{to: [2]io.Writer{server, client}}
				})
		}()
		say(t, client, "llo")
		client.CloseWrite()
		if p, err := io.ReadAll(server); string(p) != "hello" || err != nil {
			t.Errorf("the server read %q, %v", p, err)
		}
		say(t, server, "world")
		server.SetLinger(0)
		server.Close()
		if _, err := client.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client read %v", err)
		}
		got := <-result
		if !errors.Is(got.ServerErr, syscall.ECONNRESET) {
			t.Errorf("the server ended with %v", got.ServerErr)
		}
		got.ServerErr = nil
		if want := (relay.Result{Bytes: [2]int64{5, 0}, Client: flow.FIN, Server: flow.RST}); got != want {
			t.Errorf("result %+v, want %+v", got, want)
		}
	})
}
