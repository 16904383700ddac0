package nettest_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// A going is what Go's client does in a scenario.
type going struct {
	w     *world
	v     visiting
	mu    sync.Mutex
	out   strings.Builder
	conns []net.Conn
}

// dial opens a connection.
func (g *going) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	c, err := g.w.Client.Dial(ctx, a)
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.conns = append(g.conns, c)
	}
	return c, err
}

// hangUp closes what the client does not take for idle: it waits for an answer
// to a PING behind a RST_STREAM.
func (g *going) hangUp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
}

func (g *going) say(scenario, format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintf(&g.out, "%s %s\n", scenario, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`))
}

// visitByGo visits with net/http.
func visitByGo(w *world, v visiting) string {
	g := &going{w: w, v: v}
	for _, a := range []string{"get", "chunked", "trailers", "gzip", "large", "redirect", "none", "unmodified", "hints", "error"} {
		g.once(a, a, http.MethodGet, nil)
	}
	for _, a := range g.endings() {
		g.once(a, a, http.MethodGet, nil)
	}
	g.once("head", "get", http.MethodHead, nil)
	g.once("post", "post", http.MethodPost, strings.NewReader("a=1&b=2"))
	g.once("large-post", "post", http.MethodPut, strings.NewReader(strings.Repeat("0123456789abcdef", 1<<16)))
	g.once("chunked-post", "post", http.MethodPost, io.MultiReader(strings.NewReader("abc"), strings.NewReader("defg")))
	g.once("odd", "get", "oDD", nil, func(r *http.Request) {
		r.Host = "Shop.Example"
		if r.Header = (http.Header{"x-oDD": {"1", "2"}, "User-Agent": nil}); !v.http2 { // where several have no certain order
			r.Header["Cookie"], r.Header["X-Odd"] = []string{"a=1; b=2"}, []string{""}
		}
	})
	g.once("request-trailers", "post", http.MethodPost, io.MultiReader(strings.NewReader("abc")), func(r *http.Request) {
		r.Trailer = http.Header{"X-Sum": {"1"}}
	})
	g.once("continue", "post", http.MethodPost, strings.NewReader("abc"), func(r *http.Request) { r.Header.Set("Expect", "100-continue") })
	g.with(func(c *http.Client) {
		for _, a := range []string{"cookie", "get", "chunked", "none", "gzip", "get"} {
			g.exchange(c, "sequential", a, http.MethodGet, nil)
		}
	})
	g.with(func(c *http.Client) {
		var wg sync.WaitGroup
		for range meeting {
			wg.Go(func() { g.exchange(c, "parallel", "meet", http.MethodGet, nil) })
		}
		wg.Wait()
	})
	for _, a := range []string{"stall", "flood"} {
		if !v.http2 || a == "stall" {
			g.with(func(c *http.Client) { g.leave(c, a, nil) })
		}
	}
	up, feed := io.Pipe()
	g.with(func(c *http.Client) {
		go io.WriteString(feed, "0123456789") // ends with the pipe, which the client closes
		g.leave(c, "early", up)
	})
	feed.Close()
	return g.out.String()
}

// endings are what a server does that Go's client is to survive.
func (g *going) endings() []string {
	if g.v.http2 {
		return []string{"finish", "reset", "vanish", "go-away", "abandon"}
	}
	return []string{"close", "until-close", "until-cut", "finish", "cut", "reset", "hang-up", "vanish"}
}

func (g *going) transport() *http.Transport {
	return &http.Transport{
		DialContext:       g.dial,
		TLSClientConfig:   &tls.Config{RootCAs: pool(g.w.t, g.w.read(g.v.cert))},
		ForceAttemptHTTP2: g.v.http2,
	}
}

// with gives f a client with connections of its own.
func (g *going) with(f func(c *http.Client)) {
	tr := g.transport()
	defer tr.CloseIdleConnections()
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.w.t.Fatal(err)
	}
	f(&http.Client{Transport: tr, Jar: jar})
}

func (g *going) once(scenario, answer, method string, body io.Reader, change ...func(*http.Request)) {
	g.with(func(c *http.Client) { g.exchange(c, scenario, answer, method, body, change...) })
}

// exchange asks once and says what came of it.
func (g *going) exchange(c *http.Client, scenario, answer, method string, body io.Reader, change ...func(*http.Request)) {
	req, err := http.NewRequestWithContext(g.w.ctx, method, g.v.url("/"+scenario+"/"+answer), body)
	if err != nil {
		g.w.t.Error(err)
		return
	}
	for _, f := range change {
		f(req)
	}
	resp, err := c.Do(req)
	if err != nil {
		g.say(scenario, "%v", err)
		return
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	g.say(scenario, "%s %s %s %d bytes %.4x, %v, %v", resp.Proto, resp.Status, sorted(resp.Header), len(b), sha256.Sum256(b), sorted(resp.Trailer), err)
}

// leave begins to read a response, and goes.
func (g *going) leave(c *http.Client, scenario string, body io.Reader) {
	ctx, cancel := context.WithCancel(g.w.ctx)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.v.url("/"+scenario+"/"+scenario), body)
	if err != nil {
		g.w.t.Error(err)
		return
	}
	resp, err := c.Do(req)
	if err != nil {
		g.say(scenario, "%v", err)
		return
	}
	g.say(scenario, "%s", resp.Status)
	cancel()
	resp.Body.Close()
	if g.v.http2 {
		g.hangUp()
	}
}

// sorted writes a header in an order.
func sorted(h http.Header) string {
	var lines []string
	for name, values := range h {
		lines = append(lines, fmt.Sprintf("%s: %q", name, values))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}
