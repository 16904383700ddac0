//lint:file-ignore SA1019 what is compared with is x/net itself, not the wrapper of it that takes its place

package h2_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// A rfcDeal is a request and what is to be answered.
type rfcDeal struct {
	method, path    string
	fields, back    []string // "name: value"
	pieces, answers []int    // sizes
	trailer, after  []string // of the request, of the response
	status          int
	early           bool // the answer begins before the request has been read
	abort           bool // the answer is cut by a reset
}

// TestSameAsWithoutUs has x/net's client and server deal with one another,
// directly and with us between, and compares what either has seen. It has no
// bubble, as x/net keeps channels beyond the end of one.
func TestSameAsWithoutUs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		deals := rapid.SliceOfN(rapid.Custom(genDeal), 1, 6).Draw(t, "deals")
		segment := rapid.SampledFrom([]int{0, 0, 1, 10, 1000}).Draw(t, "segment")
		direct, through := rfcPlayDeals(t, deals, 0, false), rfcPlayDeals(t, deals, segment, true)
		for i := range direct {
			if direct[i] != through[i] {
				t.Errorf("directly:\n%s\nthrough us:\n%s", direct[i], through[i])
			}
		}
	})
}

func genDeal(t *rapid.T) rfcDeal {
	fields := func(label string) []string {
		return rapid.SliceOfN(rapid.StringMatching(`x-[a-z0-9]{1,8}: [!-~]([ -~]{0,30}[!-~])?`), 0, 6).Draw(t, label)
	}
	sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 100), rapid.SampledFrom([]int{16383, 16384, 16385, 65535, 65536, 100000, 300000})), 0, 4)
	d := rfcDeal{
		method: rapid.SampledFrom([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "X-OWN"}).Draw(t, "method"),
		path:   rapid.StringMatching(`/[a-z0-9/.~]{0,20}(\?[a-z=&]{0,10})?`).Draw(t, "path"),
		fields: fields("fields"), back: fields("back"),
		status: rapid.SampledFrom([]int{200, 200, 201, 204, 206, 301, 304, 404, 500, 599}).Draw(t, "status"),
	}
	d.early = d.status < 300 && d.status != 204 && rapid.Bool().Draw(t, "early") // x/net stops its request for the others
	if d.method != "GET" && d.method != "HEAD" {
		d.pieces, d.trailer = sizes.Draw(t, "pieces"), fields("trailer")
	}
	if d.method != "HEAD" && d.status != 204 && d.status != 304 {
		d.answers, d.after = sizes.Draw(t, "answers"), fields("after")
		d.abort = rapid.IntRange(0, 9).Draw(t, "abort") == 0
	}
	return d
}

// rfcPlayDeals performs the deals side by side, and describes each as the
// server and as the client saw it.
func rfcPlayDeals(t rfcT, deals []rfcDeal, segment int, between bool) []string {
	seen := make([]string, len(deals))
	done := make(chan struct{}, 2*len(deals))
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscan(r.Header.Get("Deal"), &i)
		defer func() { done <- struct{}{} }()
		seen[i] = deals[i].serve(rw, r)
		if deals[i].abort {
			panic(http.ErrAbortHandler)
		}
	})
	rt, stop := rfcStack(t, handler, segment, between)
	said := make([]string, len(deals))
	for i, d := range deals {
		go func() {
			defer func() { done <- struct{}{} }()
			said[i] = d.ask(rt, i)
		}()
	}
	for range 2 * len(deals) {
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatalf("a minute, and not all is answered: %q", said)
		}
	}
	stop()
	for i := range said {
		said[i] = "server saw " + seen[i] + "\nclient saw " + said[i]
	}
	return said
}

// rfcStack is a client of x/net for handler, with us between or not.
func rfcStack(t rfcT, handler http.Handler, segment int, between bool) (http.RoundTripper, func()) {
	client, server := rfcPipe()
	var us []*testnet.Conn
	var up *h2.Client
	over := make(chan error, 1)
	if between {
		near := server
		var far *testnet.Conn
		far, server = rfcPipe()
		far.SetSegment(segment)
		near.SetSegment(segment)
		us = []*testnet.Conn{near, far}
		up = h2.NewClient(far, nil, h2.ClientOptions{Mirror: true})
		srv := h2.NewServer(near, nil, up, h2.Options{Upstream: up})
		go func() {
			over <- srv.Serve(context.Background())
			near.Close()
			up.Close()
		}()
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		(&http2.Server{}).ServeConn(server, &http2.ServeConnOpts{Handler: handler, BaseConfig: &http.Server{ErrorLog: log.New(io.Discard, "", 0)}})
	}()
	cc, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(client)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return cc, func() {
		client.Close()
		if len(us) > 0 {
			select {
			case <-over:
			case <-time.After(time.Minute):
				t.Fatalf("Serve goes on")
			}
		}
		<-served
	}
}

// serve answers, and describes the request.
func (d *rfcDeal) serve(rw http.ResponseWriter, r *http.Request) string {
	if d.early { // what follows comes when the request has been read
		rfcAdd(rw.Header(), d.back)
		d.announce(rw)
		rw.WriteHeader(d.status)
		rw.(http.Flusher).Flush()
	}
	s := rfcDescribe(r.Method+" "+r.Host+" "+r.RequestURI, r.Header, r.Body, &r.Trailer)
	if !d.early {
		rfcAdd(rw.Header(), d.back)
		d.announce(rw)
		rw.WriteHeader(d.status)
	}
	for _, n := range d.answers {
		_, _ = io.WriteString(rw, strings.Repeat("a", n))
		rw.(http.Flusher).Flush()
	}
	h := http.Header{}
	rfcAdd(h, d.after)
	maps.Copy(rw.Header(), h)
	return s
}

func (d *rfcDeal) announce(rw http.ResponseWriter) {
	for _, f := range d.after {
		name, _, _ := strings.Cut(f, ": ")
		rw.Header().Add("Trailer", name)
	}
}

// ask performs the request, and describes the answer.
func (d *rfcDeal) ask(rt http.RoundTripper, i int) string {
	var body io.Reader
	trailer := http.Header{}
	rfcAdd(trailer, d.trailer)
	if d.pieces != nil {
		var parts []io.Reader
		for _, n := range d.pieces {
			parts = append(parts, strings.NewReader(strings.Repeat("q", n)))
		}
		body = io.MultiReader(parts...)
	}
	req, err := http.NewRequest(d.method, "http://shop.test"+d.path, body)
	if err != nil {
		return err.Error()
	}
	rfcAdd(req.Header, d.fields)
	req.Header.Set("Deal", fmt.Sprint(i))
	if body != nil {
		req.Trailer = trailer
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return rfcCut(err)
	}
	defer resp.Body.Close()
	resp.Header.Del("Date")
	return rfcDescribe(fmt.Sprint(resp.StatusCode), resp.Header, resp.Body, &resp.Trailer)
}

func rfcAdd(h http.Header, fields []string) {
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
	}
}

// rfcDescribe reads body and says all there is to say.
func rfcDescribe(start string, h http.Header, body io.Reader, trailer *http.Header) string {
	sum := sha256.New()
	n, err := io.Copy(sum, body)
	s := start
	for _, name := range slices.Sorted(maps.Keys(h)) {
		s += fmt.Sprintf("\n  %s: %q", name, h[name])
	}
	if err != nil {
		return s + "\n  cut: " + rfcCut(err) // how much came before is a matter of timing
	}
	s += fmt.Sprintf("\n  %d bytes %x", n, sum.Sum(nil)[:4])
	for _, name := range slices.Sorted(maps.Keys(*trailer)) {
		s += fmt.Sprintf("\n  trailer %s: %q", name, (*trailer)[name])
	}
	return s
}

// rfcCut is an error without the number of the stream.
func rfcCut(err error) string {
	var se http2.StreamError
	if errors.As(err, &se) {
		return se.Code.String()
	}
	return err.Error()
}

// TestLargeBodiesThroughUs are read in pieces as small as programs do.
func TestLargeBodiesThroughUs(t *testing.T) {
	const size = 64 << 20
	for _, piece := range []int{32 << 10, 1 << 20} {
		read := func(r io.Reader) error {
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, piece))
			if err == nil && n != size {
				err = fmt.Errorf("%d bytes of %d", n, size)
			}
			return err
		}
		t.Run(fmt.Sprint("download-", piece), func(t *testing.T) {
			rt, stop := rfcStack(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.CopyN(rw, endlessly('x'), size)
			}), 0, true)
			defer stop()
			req, _ := http.NewRequest("GET", "http://shop.test/", nil)
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := read(resp.Body); err != nil {
				t.Error(err)
			}
		})
		t.Run(fmt.Sprint("upload-", piece), func(t *testing.T) {
			received := make(chan error, 1)
			rt, stop := rfcStack(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { received <- read(r.Body) }), 0, true)
			defer stop()
			req, _ := http.NewRequest("POST", "http://shop.test/", io.LimitReader(endlessly('x'), size))
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if err := <-received; err != nil {
				t.Error(err)
			}
		})
	}
}

// endlessly is a byte again and again.
type endlessly byte

func (e endlessly) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}
