package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
)

// rfcWebSocket is an extended CONNECT (RFC 8441, section 4), rfcConnect the
// CONNECT of RFC 9113, section 8.5.
var (
	rfcWebSocket = []string{":method=CONNECT", ":protocol=websocket", ":scheme=https", ":path=/chat", ":authority=shop.test", "sec-websocket-version=13"}
	rfcConnect   = []string{":method=CONNECT", ":authority=shop.test:443"}
)

var connectProtocol = http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}

// TestTunnelsRelayBytes both ways, ends and resets included.
func TestTunnelsRelayBytes(t *testing.T) {
	for name, ask := range map[string][]string{"websocket": rfcWebSocket, "connect": rfcConnect} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t, connectProtocol)
				defer w.finish()
				w.client.head(1, false, ask...)
				w.settle()
				w.server.wantStream(1, strings.Join(ask, " "))
				w.server.head(1, false, ":status=200")
				w.settle()
				w.client.wantStream(1, ":status=200")
				w.client.data(1, false, "hello")
				w.settle()
				w.server.data(1, false, "HELLO")
				w.settle()
				w.client.data(1, true, " world")
				w.settle()
				w.server.wantStream(1, strings.Join(ask, " ")+"|hello world|END")
				w.server.data(1, false, " WORLD")
				w.settle()
				w.client.wantStream(1, ":status=200|HELLO WORLD")
				w.server.data(1, true, "")
				w.settle()
				w.client.wantStream(1, ":status=200|HELLO WORLD|END")
				w.wantJoined()
			})
		})
	}
}

// TestTunnelHasNoLength: who opens one may say a content-length, which means
// nothing (RFC 9110, section 9.3.6).
func TestTunnelHasNoLength(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		w.client.head(1, false, rfcConnect...)
		w.settle()
		w.server.head(1, false, ":status=200", "content-length=0")
		w.server.data(1, false, "hello")
		w.settle()
		w.client.wantStream(1, ":status=200 content-length=0|hello")
		w.wantJoined()
	})
}

// TestTunnelsAreReset with the code, by either side.
func TestTunnelsAreReset(t *testing.T) {
	for _, code := range []http2.ErrCode{http2.ErrCodeNo, cancelled, http2.ErrCodeConnect, http2.ErrCodeInternal} {
		for _, who := range []string{"client", "server"} {
			t.Run(fmt.Sprint(who, "-", code), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t, connectProtocol)
					defer w.finish()
					w.client.head(1, false, rfcWebSocket...)
					w.settle()
					w.server.head(1, false, ":status=200")
					w.client.data(1, false, "a")
					w.server.data(1, false, "b")
					w.settle()
					from, to := w.client, w.server
					if who == "server" {
						from, to = w.server, w.client
					}
					from.reset(1, code)
					w.settle()
					if s := to.stream(1); !strings.HasSuffix(s, "RST "+code.String()) {
						t.Errorf("received %q", s)
					}
					w.wantJoined()
				})
			})
		}
	}
}

// TestRefusedTunnelIsAResponse: what is not 2xx has a body as always.
func TestRefusedTunnelIsAResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t, connectProtocol)
		defer w.finish()
		w.client.head(1, false, rfcWebSocket...)
		w.settle()
		w.server.head(1, false, ":status=403", "content-length=2")
		w.server.data(1, true, "no")
		w.settle()
		if s := w.client.stream(1); !strings.HasPrefix(s, ":status=403 content-length=2|no|END") {
			t.Errorf("received %q", s)
		}
		w.wantJoined()
	})
}

// TestTunnelGoesToTheTakeover of the options, with both ends and the request.
func TestTunnelGoesToTheTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked string
		w := newJoin(t, func(_ *h2.Options, co *h2.ClientOptions) {
			co.Takeover = func(_ context.Context, req *flow.RequestHead, client, server net.Conn) error {
				asked = req.Protocol + " " + req.Target
				defer client.Close()
				defer server.Close()
				p := make([]byte, 10)
				n, _ := client.Read(p)
				_, _ = server.Write([]byte(strings.ToUpper(string(p[:n]))))
				n, _ = server.Read(p)
				_, _ = client.Write([]byte(strings.ToLower(string(p[:n]))))
				return nil
			}
		})
		defer w.finish()
		w.server.settings(connectProtocol)
		w.client.preface()
		w.settle()
		w.client.head(1, false, rfcWebSocket...)
		w.settle()
		w.server.head(1, false, ":status=200")
		w.client.data(1, false, "abc")
		w.settle()
		w.server.data(1, false, "DEF")
		w.settle()
		if asked != "websocket /chat" {
			t.Errorf("asked for %q", asked)
		}
		if s := w.server.stream(1); !strings.HasPrefix(s, strings.Join(rfcWebSocket, " ")+"|ABC|") {
			t.Errorf("the server received %q", s)
		}
		if s := w.client.stream(1); !strings.HasPrefix(s, ":status=200|def|") {
			t.Errorf("the client received %q", s)
		}
		w.wantJoined()
	})
}

// takeover serves an extended CONNECT with f.
func takeover(t *testing.T, f func(c net.Conn)) *rfcServer {
	w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
		r := rfcAnswer("")
		r.Takeover = func(_ context.Context, c net.Conn) error {
			defer c.Close()
			f(c)
			return nil
		}
		return r, nil
	}, h2.Options{})
	w.client.head(1, false, rfcConnect...)
	w.client.settle()
	return w
}

// TestTunnelIsAConn has what net.Conn promises.
func TestTunnelIsAConn(t *testing.T) {
	t.Run("deadlines", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := make([]byte, 10)
			w := takeover(t, func(c net.Conn) {
				start := time.Now()
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("read: %v after %v", err, time.Since(start))
				}
				var ne net.Error
				if _, err := c.Read(p); !errors.As(err, &ne) || !ne.Timeout() {
					t.Errorf("read after the deadline: %v", err)
				}
				_ = c.SetReadDeadline(time.Time{})
				if n, err := c.Read(p); err != nil || string(p[:n]) != "later" {
					t.Errorf("read without a deadline: %q, %v", p[:n], err)
				}
				_ = c.SetWriteDeadline(time.Now().Add(time.Second))
				if n, err := c.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n >= 1<<20 {
					t.Errorf("write: %d, %v", n, err)
				}
				_ = c.SetDeadline(time.Now().Add(-time.Second))
				if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("read with a deadline in the past: %v", err)
				}
				if c.LocalAddr() == nil || c.RemoteAddr() == nil {
					t.Error("no addresses")
				}
			})
			defer w.finish()
			time.Sleep(2 * time.Second)
			w.client.data(1, false, "later")
			time.Sleep(time.Minute)
			w.client.wantAlive()
		})
	})
	t.Run("writes-at-once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := takeover(t, func(c net.Conn) {
				var wg sync.WaitGroup
				for _, b := range []string{"a", "b"} {
					wg.Go(func() { _, _ = c.Write([]byte(strings.Repeat(b, 100000))) })
				}
				wg.Wait()
			})
			defer w.finish()
			for range 300 {
				w.client.settle()
				w.client.window(1, 1000)
				w.client.window(0, 1000)
			}
			w.client.settle()
			_, got, _ := strings.Cut(w.client.stream(1), "|")
			if n := strings.Count(got, "ab") + strings.Count(got, "ba"); n != 1 || w.client.got(1) != 200000 {
				t.Errorf("of %d bytes in two writes the one goes on %d times after the other", w.client.got(1), n)
			}
		})
	})
	t.Run("close-write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := takeover(t, func(c net.Conn) {
				_, _ = c.Write([]byte("bye"))
				if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
					t.Error(err)
				}
				if _, err := c.Write([]byte("x")); err == nil {
					t.Error("a write after CloseWrite succeeds")
				}
				if b, err := io.ReadAll(c); string(b) != "still here" || err != nil {
					t.Errorf("read %q, %v", b, err)
				}
			})
			defer w.finish()
			w.client.wantStream(1, ":status=200|bye|END")
			w.client.data(1, false, "still ")
			w.client.data(1, true, "here")
			w.client.wantAlive()
		})
	})
	t.Run("reset", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := takeover(t, func(c net.Conn) {
				b, err := io.ReadAll(c)
				if string(b) != "so far" || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read %q, %v, want ECONNRESET", b, err)
				}
				if _, err := c.Write([]byte("x")); err == nil {
					t.Error("a write after a reset succeeds")
				}
			})
			defer w.finish()
			w.client.data(1, false, "so far")
			w.client.settle()
			w.client.reset(1, cancelled)
			w.client.wantAlive()
		})
	})
	t.Run("closed-by-another", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := takeover(t, func(c net.Conn) {
				time.AfterFunc(time.Second, func() { c.Close() })
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("read: %v", err)
				}
			})
			defer w.finish()
			time.Sleep(time.Minute)
			w.client.wantAlive()
		})
	})
	t.Run("lingers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := takeover(t, func(c net.Conn) {
				if l, ok := c.(interface{ SetLinger(int) error }); ok {
					_ = l.SetLinger(0)
				} else {
					t.Error("no SetLinger: a reset can't be passed on")
				}
			})
			defer w.finish()
			w.client.settle()
			if s := w.client.stream(1); !strings.HasPrefix(s, ":status=200|RST") {
				t.Errorf("received %q", s)
			}
			w.client.wantAlive()
		})
	})
	t.Run("whole-windows", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := takeover(t, func(c net.Conn) {
				b := make([]byte, 200000)
				n, err := io.ReadFull(c, b)
				if err != nil {
					t.Errorf("read %d, %v", n, err)
				}
				if n, err := c.Write(b); n != len(b) || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
			})
			defer w.finish()
			w.client.window(0, 1<<20)
			w.client.window(1, 1<<20)
			if n := w.client.fill(1, 200000); n != 200000 {
				t.Errorf("sent %d", n)
			}
			w.client.wantGot(1, 200000)
			w.client.wantAlive()
		})
	})
}
