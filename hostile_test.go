package transom_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/exchange"
	"transom/flow"
	"transom/internal/testnet"
	"transom/policy"
)

// TestBudgetIsGivenBack: what one request held in memory is there for the next.
func TestBudgetIsGivenBack(t *testing.T) {
	hold := exchange.OnRequest(func(ctx context.Context, r *exchange.Request) error {
		_, err := r.Body.Bytes(ctx, 1<<20)
		return err
	})
	inWorld(t, func(p *transom.Proxy) {
		p.HTTP = []exchange.Middleware{hold}
		p.Limits.Bodies = 256 << 10
	}, func(w *world) {
		body := strings.Repeat("x", 100<<10)
		request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			for range 10 {
				w.hear(r, request)
				w.say(c, "HTTP/1.1 204 No\r\n\r\n")
			}
			r.ReadByte()
		})
		c := w.dial(serverAddr)
		for range 10 {
			w.say(c, request)
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		}
		c.Close()
	})
}

// TestEndlessInterimResponses: a server can't fill memory with them.
func TestEndlessInterimResponses(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			readHead(r)
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n"); err != nil {
					return
				}
			}
		})
		c := w.dial(serverAddr)
		w.say(c, untidy)
		if got, _ := w.hearEnd(c); strings.Count(got, " 103 ") > 40 || !strings.Contains(got, "HTTP/1.1 502 ") {
			t.Errorf("the client read %d bytes: …%q", len(got), got[max(len(got)-200, 0):])
		}
		if f := w.only("http"); f.State != flow.Failed {
			t.Errorf("recorded as %v", f.State)
		}
	})
}

// TestNobodyIsWaitedForForEver: idle bounds every wait.
func TestNobodyIsWaitedForForEver(t *testing.T) {
	const ten = 10*time.Minute + time.Second
	t.Run("silent-server", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { readHead(r); io.Copy(io.Discard, r) })
			start := time.Now()
			c := w.dial(serverAddr)
			w.say(c, untidy)
			if _, err := w.hearEnd(c); !errors.Is(err, syscall.ECONNRESET) || time.Since(start) > ten {
				t.Errorf("ended with %v after %v", err, time.Since(start))
			}
			if end := w.only("conn").Detail.(*flow.Connection); end.Server != flow.Timeout {
				t.Errorf("recorded %+v", end)
			}
		})
	})
	t.Run("client-that-does-not-read", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			gone := make(chan time.Duration, 1)
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				start := time.Now()
				readHead(r)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
				for {
					if _, err := c.Write(make([]byte, 32<<10)); err != nil {
						gone <- time.Since(start)
						return
					}
				}
			})
			c := w.dial(serverAddr)
			w.say(c, untidy)
			if took := <-gone; took > ten {
				t.Errorf("it took %v", took)
			}
			c.Close()
		})
	})
	t.Run("idle-client", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			var o origin
			w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			if got, err := w.hearEnd(c); got != "" || err != nil {
				t.Errorf("it read %q, %v; want a FIN", got, err)
			}
			if end := w.only("conn").Detail.(*flow.Connection); end.Client != flow.Timeout {
				t.Errorf("recorded %+v", end)
			}
		})
	})
	t.Run("single-bytes", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { r.ReadByte(); w.say(c, "raw") })
			c := w.dial(serverAddr)
			heard := make(chan struct{})
			go func() { defer close(heard); w.hear(c, "raw") }()
			w.say(c, "GET /")
			for range 500 {
				select {
				case <-heard:
					c.Close()
					return
				case <-time.After(250 * time.Millisecond):
					w.say(c, "a")
				}
			}
			t.Error("two minutes of single bytes are still no answer")
		})
	})
}

// TestResetReachesTheServer: a client's reset is one for its server too.
func TestResetReachesTheServer(t *testing.T) {
	for name, wait := range map[string]time.Duration{"waiting": time.Second, "idle": 0} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				saw := make(chan error, 1)
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					readHead(r)
					if wait == 0 {
						w.say(c, "HTTP/1.1 204 No\r\n\r\n")
					}
					_, err := r.ReadByte()
					saw <- err
				})
				c := w.dial(serverAddr)
				w.say(c, untidy)
				if wait == 0 {
					w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
				}
				time.Sleep(wait + time.Second) // fake time
				c.SetLinger(0)
				c.Close()
				if err := <-saw; !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the server saw %v", err)
				}
				if end := w.only("conn").Detail.(*flow.Connection); end.Client != flow.RST {
					t.Errorf("recorded %+v", end)
				}
			})
		})
	}
}

// TestResetBehindOtherThings is one, too: a request that waits for its turn, or
// the client's FIN.
func TestResetBehindOtherThings(t *testing.T) {
	for name, first := range map[string]func(w *world, c *testnet.Conn){
		"pipelined":         func(w *world, c *testnet.Conn) { w.say(c, untidy) },
		"pipelined-later":   func(w *world, c *testnet.Conn) { time.Sleep(time.Second); w.say(c, untidy) }, // fake time
		"half-closed":       func(_ *world, c *testnet.Conn) { c.CloseWrite() },
		"half-closed-later": func(_ *world, c *testnet.Conn) { time.Sleep(time.Second); c.CloseWrite() }, // likewise
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				saw := make(chan error, 1)
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					readHead(r)
					_, err := r.ReadByte()
					if err == io.EOF { // the client's FIN is the server's
						err = c.AwaitReset()
					}
					saw <- err
				})
				c := w.dial(serverAddr)
				w.say(c, untidy)
				first(w, c)
				time.Sleep(time.Second) // fake time: the answer is awaited
				c.SetLinger(0)
				c.Close()
				start := time.Now()
				if err := <-saw; !errors.Is(err, syscall.ECONNRESET) || time.Since(start) > time.Second {
					t.Errorf("the server saw %v after %v", err, time.Since(start))
				}
				if end := w.only("conn").Detail.(*flow.Connection); end.Client != flow.RST {
					t.Errorf("recorded %+v", end)
				}
			})
		})
	}
}

// TestUploadingClientLeaves after its body, while the answer is awaited.
func TestUploadingClientLeaves(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		saw := make(chan error, 1)
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			readHead(r)
			w.hear(r, "hello")
			_, err := r.ReadByte()
			saw <- err
		})
		c := w.dial(serverAddr)
		w.say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
		time.Sleep(time.Second) // fake time: the body goes up by itself
		w.say(c, "llo")
		time.Sleep(time.Second) // likewise
		c.SetLinger(0)
		c.Close()
		start := time.Now()
		if err := <-saw; !errors.Is(err, syscall.ECONNRESET) || time.Since(start) > time.Second {
			t.Errorf("the server saw %v after %v", err, time.Since(start))
		}
	})
}

// TestCutBodyStaysCut: under TLS a stream that was cut has no close_notify.
func TestCutBodyStaysCut(t *testing.T) {
	servers := newPKI(t)
	inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
		w.net.Handle(secureAddr, func(c *testnet.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}})
			readHead(bufio.NewReader(s))
			w.say(s, "HTTP/1.1 200 OK\r\n\r\nhalf of i")
			c.CloseWrite()
			io.Copy(io.Discard, c)
		})
		raw := &recorded{Conn: w.dial(secureAddr)}
		c := tls.Client(raw, &tls.Config{ServerName: "shop.test", RootCAs: w.roots, MaxVersion: tls.VersionTLS12})
		w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		if got, err := w.hearEnd(c); !strings.HasSuffix(got, "half of i") || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
		const alert = 21
		last := byte(0)
		for b := raw.read.Bytes(); len(b) >= 5; b = b[5+int(b[3])<<8+int(b[4]):] {
			last = b[0]
		}
		if last == alert {
			t.Error("the client was told by close_notify that nothing is missing")
		}
		raw.Close()
	})
}

// A recorded conn keeps what was read from it.
type recorded struct {
	*testnet.Conn
	read bytes.Buffer
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.read.Write(p[:n])
	return n, err
}

// TestMalformedChunk of a client is its own fault.
func TestMalformedChunk(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		c := w.dial(serverAddr)
		w.say(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		if got, _ := w.hearEnd(c); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("read %q", got)
		}
		if f := w.only("http"); f.State != flow.Failed || !strings.Contains(f.Err, "chunk size") {
			t.Errorf("recorded %+v", f)
		}
	})
}

// TestSamePortElsewhereIsNoLoop: the kernel may give one source port to several
// connections.
func TestSamePortElsewhereIsNoLoop(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var o origin
		other := netip.MustParseAddrPort("203.0.113.8:80")
		from := make(chan netip.AddrPort, 1)
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			from <- netip.MustParseAddrPort(c.RemoteAddr().String())
			w.say(c, "hi")
			r.ReadByte()
		})
		w.net.Handle(other, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
		first := w.dial(serverAddr)
		w.hear(first, "hi")
		second := w.src.Inject(<-from, other)
		w.say(second, untidy)
		w.hear(second, "HTTP/1.1 204 No\r\n\r\n")
		first.Close()
		second.Close()
	})
}

// TestDrainServesWhatHasArrived: a request that was sent is no idle connection.
func TestDrainServesWhatHasArrived(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var o origin
		w.net.Delay(serverAddr, 3*time.Second)
		w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
		c := w.dial(serverAddr)
		w.say(c, untidy)
		synctest.Wait()
		w.stop()
		if got, err := w.hearEnd(c); got != "HTTP/1.1 204 No\r\n\r\n" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// TestSilentClientDoesNotHoldADrain.
func TestSilentClientDoesNotHoldADrain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { r.ReadByte() })
		c := w.dial(serverAddr)
		synctest.Wait()
		start := time.Now()
		w.stop()
		<-w.ended
		w.ended <- nil
		if took := time.Since(start); took > 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		c.Close()
	})
}

// TestWhatWasSentBeforeTheEnd: a client connects, speaks and is gone, and we are told to
// stop before we have accepted it, or read it.
func TestWhatWasSentBeforeTheEnd(t *testing.T) {
	for range 20 { // it is a matter of luck how far we are
		inWorld(t, nil, func(w *world) {
			got := make(chan string, 1)
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				b, _ := io.ReadAll(r) // what is missing is seen below
				got <- string(b)
			})
			c := w.dial(serverAddr)
			w.stop()
			if _, err := io.WriteString(c, "hello"); err != nil {
				t.Error(err)
			}
			c.Close()
			<-w.ended
			w.ended <- nil
			select {
			case text := <-got:
				if text != "hello" {
					t.Errorf("got %q", text)
				}
			default:
				t.Error("it did not come to the server")
			}
		})
	}
}

// TestDrainLeavesRelaysAlone: a client has ended its side of what is passed, and
// its server is silent because it is at work.
func TestDrainLeavesRelaysAlone(t *testing.T) {
	everything, err := policy.CompilePattern(`.`)
	if err != nil {
		t.Fatal(err)
	}
	pass := func(p *transom.Proxy) { p.Policy = &policy.Hosts{Ignore: []*policy.Pattern{everything}} }
	inWorld(t, pass, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			io.Copy(io.Discard, r)
			time.Sleep(5 * time.Second) // fake time
			w.say(c, "answer")
		})
		c := w.dial(serverAddr)
		w.say(c, "question")
		c.CloseWrite()
		synctest.Wait()
		w.stop()
		if got, err := w.hearEnd(c); got != "answer" || err != nil {
			t.Errorf("read %q, %v", got, err)
		}
	})
}

// TestUpgrade: what follows a 101 is relayed as it is, recorded, and ends as
// either side ends it.
func TestUpgrade(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			readHead(r)
			w.say(c, switching+"first")
			w.hear(r, "second")
			c.SetLinger(0)
		})
		c := w.dial(serverAddr)
		w.say(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		w.hear(c, switching+"first")
		w.say(c, "second")
		if _, err := w.hearEnd(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the client saw %v, want the server's reset", err)
		}
		if d := w.only("tcp").Detail.(*flow.Messages); d.Bytes != [2]int64{6, 5} {
			t.Errorf("recorded %+v", d)
		}
	})
}

// TestTunnelOfACapturedClient, opened through somebody else's proxy, is looked
// into like any connection.
func TestTunnelOfACapturedClient(t *testing.T) {
	servers := newPKI(t)
	inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
		const established = "HTTP/1.1 200 Connection established\r\n\r\n"
		w.net.Handle(serverAddr, func(c *testnet.Conn) {
			readHead(bufio.NewReader(io.LimitReader(c, int64(len("CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test\r\n\r\n")))))
			w.say(c, established)
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}})
			new(origin).answer("HTTP/1.1 204 No\r\n\r\n")(s)
			s.Close()
		})
		c := w.dial(serverAddr)
		w.say(c, "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		w.hear(c, established)
		s := tls.Client(c, &tls.Config{ServerName: "shop.test", RootCAs: w.roots})
		w.say(s, "GET /inside HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		w.hear(s, "HTTP/1.1 204 No\r\n\r\n")
		s.Close()
		var inside bool
		for _, f := range w.flows("http") {
			inside = inside || f.Detail.(*flow.HTTP).Request.Target == "/inside"
		}
		if !inside {
			t.Error("the request inside the tunnel is not on the record")
		}
	})
}
