package transom_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"transom"
	"transom/capture"
	"transom/exchange"
	"transom/flow"
	"transom/policy"
)

// withHTTP2 runs f in a world where handler answers HTTP/2 at secureAddr. c is a
// client of the standard library's that comes by the proxy.
func withHTTP2(t *testing.T, change func(*transom.Proxy), handler http.HandlerFunc, f func(w *world, c *http.Client)) {
	t.Helper()
	servers := newPKI(t)
	inWorld(t, func(p *transom.Proxy) {
		p.UpstreamRoots = servers.roots
		if change != nil {
			change(p)
		}
	}, func(w *world) {
		srv := &http.Server{Handler: handler, Protocols: new(http.Protocols), TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{servers.leaf(t, "shop.test", "b.test")},
		}}
		srv.Protocols.SetHTTP2(true)
		done := make(chan error, 1)
		l := w.net.Listen(secureAddr)
		go func() { done <- srv.ServeTLS(l, "", "") }()
		tr := &http.Transport{
			Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: w.roots, ServerName: "shop.test"},
			DialContext: func(context.Context, string, string) (net.Conn, error) { return w.dial(secureAddr), nil },
		}
		tr.Protocols.SetHTTP2(true)
		f(w, &http.Client{Transport: tr})
		tr.CloseIdleConnections()
		synctest.Wait()
		srv.Close()
		<-done
	})
}

func echo(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(rw, "%s %s%s %s %s", r.Method, r.Host, r.URL, r.Header.Get("X-Through"), body)
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Post(url, "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestHTTP2(t *testing.T) {
	through := exchange.OnRequest(func(_ context.Context, r *exchange.Request) error {
		r.Header.Set("X-Through", "transom")
		return nil
	})
	withHTTP2(t, func(p *transom.Proxy) { p.HTTP = []exchange.Middleware{through} }, echo, func(w *world, c *http.Client) {
		for range 2 {
			if got := get(t, c, "https://shop.test/a?b"); got != "POST shop.test/a?b transom body" {
				t.Errorf("the server understood %q", got)
			}
		}
		fs := w.flows("http")
		if len(fs) != 2 || fs[0].Conn.ID != fs[1].Conn.ID {
			t.Fatalf("%d flows of one connection, want 2", len(fs))
		}
		d := fs[0].Detail.(*flow.HTTP)
		if d.Request.Proto != flow.HTTP2 || d.Response.Proto != flow.HTTP2 || d.Request.Authority != "shop.test" ||
			w.body(d.RequestBody) != "body" || d.OriginalRequest == nil || d.Request.Header.Get("x-through") != "transom" {
			t.Errorf("recorded %+v", d)
		}
		client, server := fs[0].Conn.Last().H2, fs[0].Conn.Server.H2
		if client != server || !strings.HasSuffix(client, "|0|a,m,p,s") || !strings.HasPrefix(client, "2:0;") {
			t.Errorf("the client began as %q, and we with the server as %q", client, server)
		}
		if p := fs[0].Conn.TLS().Protocol; p != "h2" {
			t.Errorf("ALPN %q", p)
		}
	})
}

// TestHTTP2Policy: requests of one connection go different ways.
func TestHTTP2Policy(t *testing.T) {
	ignored, err := policy.CompilePattern(`^b\.test:443$`)
	if err != nil {
		t.Fatal(err)
	}
	only := func(p *transom.Proxy) { p.Policy = &policy.Hosts{Ignore: []*policy.Pattern{ignored}} }
	withHTTP2(t, only, echo, func(w *world, c *http.Client) {
		for _, host := range []string{"shop.test", "b.test", "shop.test"} {
			r, err := http.NewRequest("GET", "https://shop.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			resp, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			p, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if !strings.HasPrefix(string(p), "GET "+host+"/ ") {
				t.Errorf("the server understood %q", p)
			}
		}
		if n := len(w.flows("http")); n != 2 {
			t.Errorf("%d requests recorded, want those that are not ignored", n)
		}
	})
}

// TestHTTP2PassedWhole: of requests that all are left alone the connection's
// record says so, and by which rule.
func TestHTTP2PassedWhole(t *testing.T) {
	ignored, err := policy.CompilePattern(`^shop\.test:80$`)
	if err != nil {
		t.Fatal(err)
	}
	rules := &policy.Hosts{Ignore: []*policy.Pattern{ignored}}
	for name, hosts := range map[string][]string{"all": {"shop.test", "shop.test"}, "some": {"shop.test", "b.test"}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *transom.Proxy) { p.Policy = rules }, func(w *world) {
				srv := &http.Server{Handler: http.HandlerFunc(echo), Protocols: new(http.Protocols)}
				srv.Protocols.SetUnencryptedHTTP2(true)
				done := make(chan error, 1)
				l := w.net.Listen(serverAddr)
				go func() { done <- srv.Serve(l) }()
				tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) {
					return w.dial(serverAddr), nil
				}}
				tr.Protocols.SetUnencryptedHTTP2(true)
				for _, host := range hosts {
					r, err := http.NewRequest("GET", "http://shop.test/", nil)
					if err != nil {
						t.Fatal(err)
					}
					r.Host = host
					resp, err := (&http.Client{Transport: tr}).Do(r)
					if err != nil {
						t.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
					synctest.Wait() // else net/http may not have its connection back, and dial another
				}
				tr.CloseIdleConnections()
				d := w.only("conn").Detail.(*flow.Connection)
				why := rules.Decide(&flow.Conn{Host: "shop.test", Dst: serverAddr}).Reason
				if passed := d.Action == "pass" && d.Reason == why && why != ""; passed != (name == "all") {
					t.Errorf("recorded %+v, and the rule's reason is %q", d, why)
				}
				srv.Close()
				<-done
			})
		})
	}
}

// TestHTTP2Drain: what is under way is finished, and nothing more is begun.
func TestHTTP2Drain(t *testing.T) {
	var began, goOn chan struct{}
	bubbled := func(*transom.Proxy) { began, goOn = make(chan struct{}), make(chan struct{}) }
	withHTTP2(t, bubbled, func(rw http.ResponseWriter, r *http.Request) {
		began <- struct{}{}
		<-goOn
		echo(rw, r)
	}, func(w *world, c *http.Client) {
		answer := make(chan string)
		go func() { answer <- get(t, c, "https://shop.test/") }()
		<-began
		w.stop()
		synctest.Wait()
		close(goOn)
		if got := <-answer; got != "POST shop.test/  body" {
			t.Errorf("what was under way got %q", got)
		}
		if f := w.only("http"); f.State != flow.Done {
			t.Errorf("recorded %+v", f)
		}
	})
}

// TestHTTP2Reset: a stream that the server resets is reset, and costs no other.
func TestHTTP2Reset(t *testing.T) {
	withHTTP2(t, nil, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/reset" {
			panic(http.ErrAbortHandler)
		}
		echo(rw, r)
	}, func(w *world, c *http.Client) {
		if _, err := c.Get("https://shop.test/reset"); err == nil || !strings.Contains(err.Error(), "INTERNAL_ERROR") {
			t.Errorf("error %v, want the server's", err)
		}
		get(t, c, "https://shop.test/")
		fs := w.flows("http")
		if len(fs) != 2 || fs[0].Conn.ID != fs[1].Conn.ID {
			t.Errorf("%d flows of one connection, want 2", len(fs))
		}
		failed := 0
		for _, f := range fs {
			if f.State == flow.Failed {
				failed++
			}
		}
		if failed != 1 {
			t.Errorf("%d are recorded as failed, want 1", failed)
		}
	})
}

// TestHTTP2OfOurOwn: what we answer ourselves, by HTTP/2 if that is what the
// client speaks.
func TestHTTP2OfOurOwn(t *testing.T) {
	t.Run("502", func(t *testing.T) {
		distrust := func(p *transom.Proxy) { p.UpstreamRoots, p.OnTLSFailure = newPKI(t).roots, transom.BadGateway }
		withHTTP2(t, distrust, echo, func(w *world, c *http.Client) {
			for range 2 {
				resp, err := c.Get("https://shop.test/")
				if err != nil {
					t.Fatal(err)
				}
				p, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 502 || resp.ProtoMajor != 2 || !strings.Contains(string(p), "does not verify") {
					t.Errorf("got %s %s %q", resp.Proto, resp.Status, p)
				}
			}
			fs := w.flows("http")
			if len(fs) != 2 {
				t.Fatalf("%d requests recorded, want 2", len(fs))
			}
			sent := fs[0].Detail.(*flow.HTTP).Response
			if _, ok := sent.Header.Lookup("connection"); ok || sent.Proto != flow.HTTP2 || sent.Reason != "" || sent.Header[0].Name != "content-type" {
				t.Errorf("recorded %+v, which was not sent", sent)
			}
		})
	})
	t.Run("landing", func(t *testing.T) {
		landing := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return exchange.Text(200, "welcome"), nil
		})
		inWorld(t, func(p *transom.Proxy) { p.Direct = landing }, func(w *world) {
			tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) {
				return w.dial(proxyAddr, func(c *capture.Conn) { c.Direct = true }), nil
			}}
			tr.Protocols.SetUnencryptedHTTP2(true)
			resp, err := (&http.Client{Transport: tr}).Get("http://192.168.1.1:8080/")
			if err != nil {
				t.Fatal(err)
			}
			p, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(p) != "welcome" || resp.ProtoMajor != 2 {
				t.Errorf("got %s %q", resp.Proto, p)
			}
			tr.CloseIdleConnections()
			if f := w.only("http"); f.State != flow.Done || f.Conn.Last().H2 == "" {
				t.Errorf("recorded %+v of %+v", f, f.Conn)
			}
		})
	})
}
