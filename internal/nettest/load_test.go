package nettest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"transom/platform/lab"
)

// TestKeepAlive makes ten thousand requests on a few connections.
func TestKeepAlive(t *testing.T) {
	const requests, conns = 10000, 8
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorld(t)
			var served atomic.Int64
			w.serve(func(rw http.ResponseWriter, req *http.Request) {
				served.Add(1)
				io.WriteString(rw, req.URL.Path)
			})
			w.redirect("80,443")
			p := w.transom("--json", "-o", w.path("flows"))
			c := w.browser(w.must(w.Gateway, "transom", "ca", "export"))
			var dials atomic.Int64
			tr := c.Transport.(*http.Transport)
			tr.MaxConnsPerHost = conns
			dial := tr.DialContext
			tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dials.Add(1)
				return dial(ctx, network, addr)
			}
			var wg sync.WaitGroup
			for i := range conns {
				wg.Go(func() {
					for j := range requests / conns {
						path := fmt.Sprintf("/%d/%d", i, j)
						if got, err := get(c, scheme+"://"+shop+path); err != nil || got != path {
							t.Errorf("%s: got %q, %v", path, got, err)
							return
						}
					}
				})
			}
			wg.Wait()
			p.stop()
			if served.Load() != requests || dials.Load() != conns {
				t.Errorf("%d requests on %d connections, want %d on %d", served.Load(), dials.Load(), requests, conns)
			}
			if got := parse(t, w.read(w.path("flows"))); len(got) != requests {
				t.Errorf("%d records, want %d", len(got), requests)
			}
		})
	}
}

func get(c *http.Client, url string) (string, error) {
	resp, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s", resp.Status)
	}
	return string(b), err
}

const (
	huge     = 2 << 30
	mostKept = 64 << 20 // of memory
)

// TestHugeBodies moves 2 GiB each way, and has the proxy stay small.
func TestHugeBodies(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorld(t)
			w.serve(func(rw http.ResponseWriter, req *http.Request) {
				if req.Method == "GET" {
					rw.Header().Set("Content-Length", strconv.Itoa(huge))
					io.Copy(rw, newPattern(huge))
					return
				}
				n, err := newPattern(huge).compare(req.Body)
				fmt.Fprint(rw, n, err)
			})
			w.redirect("80,443")
			p := w.transom("--json")
			c := w.browser(w.must(w.Gateway, "transom", "ca", "export"))

			resp, err := c.Get(scheme + "://" + lab.ServerAddr4 + "/")
			if err != nil {
				t.Fatal(err)
			}
			n, err := newPattern(huge).compare(resp.Body)
			resp.Body.Close()
			if n != huge || err != nil {
				t.Errorf("downloaded %d bytes, %v", n, err)
			}
			down := p.peak()

			req, err := http.NewRequestWithContext(w.ctx, "POST", scheme+"://["+lab.ServerAddr6+"]/", newPattern(huge))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = huge
			if resp, err = c.Do(req); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprint(huge, error(nil)); string(b) != want || err != nil {
				t.Errorf("the server got %q, %v; want %q", b, err, want)
			}
			up := p.peak()
			t.Logf("the most memory the proxy had: %d MiB after the download, %d MiB after the upload", down>>20, up>>20)
			if up >= mostKept {
				t.Errorf("the proxy took %d MiB, must stay under %d", up>>20, mostKept>>20)
			}
			p.stop()
			rs := p.await(2, of("http"))
			if rs[0].Response.Body.Size != huge || rs[1].Request.Body.Size != huge || !rs[0].Response.Body.Truncated {
				t.Errorf("recorded %+v", rs)
			}
		})
	}
}

// peak returns the most memory the proxy has had resident, in bytes.
func (p *transom) peak() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nVmHWM:")
	var kib int64
	if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil {
		p.t.Fatalf("%v in %q", err, b)
	}
	return kib << 10
}

// A pattern is a body whose bytes can be told from those before and behind.
type pattern struct {
	block []byte
	off   int
	left  int64
}

func newPattern(size int64) *pattern {
	b := make([]byte, 0, 1<<20+7) // no multiple of what anybody reads
	for i := uint32(1); len(b) < cap(b); i = i*1664525 + 1013904223 {
		b = append(b, byte(i>>24))
	}
	return &pattern{block: b, left: size}
}

// next returns at most n bytes of what comes next.
func (p *pattern) next(n int) []byte {
	n = int(min(int64(n), p.left, int64(len(p.block)-p.off)))
	b := p.block[p.off : p.off+n]
	p.off = (p.off + n) % len(p.block)
	p.left -= int64(n)
	return b
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	return copy(b, p.next(len(b))), nil
}

// WriteTo spares a copy.
func (p *pattern) WriteTo(w io.Writer) (n int64, err error) {
	for p.left > 0 && err == nil {
		var m int
		m, err = w.Write(p.next(128 << 10))
		n += int64(m)
	}
	return n, err
}

// compare reads r to its end, which must hold the same bytes.
func (p *pattern) compare(r io.Reader) (n int64, err error) {
	b := make([]byte, 256<<10)
	for {
		m, err := r.Read(b)
		for rest := b[:m]; len(rest) > 0; {
			want := p.next(len(rest))
			if len(want) == 0 || !bytes.Equal(rest[:len(want)], want) {
				return n, fmt.Errorf("other bytes than were sent, behind %d", n)
			}
			rest = rest[len(want):]
			n += int64(len(want))
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}
