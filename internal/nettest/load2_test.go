package nettest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestH2load makes a hundred thousand requests, a hundred of them at a time.
func TestH2load(t *testing.T) {
	need(t, "h2load")
	for name, args := range map[string][]string{
		"one-connection":  {"-c", "1", "-m", "100", "https://" + families[0].host + "/"},
		"ten-connections": {"-c", "10", "-m", "10", "http://" + families[1].host + "/"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve2(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "hello") })
			w.redirect("80,443")
			p := w.transom("--json", "-o", w.path("flows"))
			got := w.must(w.Client, "h2load", append([]string{"-n", "100000"}, args...)...)
			const want = "100000 total, 100000 started, 100000 done, 100000 succeeded, 0 failed, 0 errored, 0 timeout"
			if !strings.Contains(got, want) || !strings.Contains(got, "status codes: 100000 2xx") {
				t.Errorf("h2load printed\n%s", got)
			}
			p.stop()
			b, err := os.ReadFile(w.path("flows"))
			if n := bytes.Count(b, []byte(`"http":"HTTP/2.0"`)); n != 200000 || err != nil { // requests and responses
				t.Errorf("%d heads are recorded as HTTP/2.0, %v", n, err)
			}
		})
	}
}

const (
	mostTaken = 10 << 20  // of a body that nobody reads: Go's client wants 4 MiB, and so do we for it
	wholeBody = 100 << 20 // of it once somebody does
	other     = 200 << 10 // of each of the others
)

// TestStalled2 has one stream of a connection stand still, first on its way to
// the server and then to the client. What waits is bounded, the other streams
// move, and so does the one when it is read again.
func TestStalled2(t *testing.T) {
	for i, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorld(t)
			release := make(chan struct{})
			var sent atomic.Int64
			w.serve2(func(rw http.ResponseWriter, req *http.Request) {
				switch req.URL.Path {
				case "/up":
					<-release
					n, err := newPattern(wholeBody).compare(req.Body)
					fmt.Fprint(rw, n, err)
				case "/down":
					io.Copy(&counter{Writer: rw, n: &sent}, newPattern(wholeBody))
				default:
					io.Copy(rw, req.Body)
				}
			})
			w.redirect("80,443")
			p := w.transom("--json", "-o", w.path("flows"), "--store-max", "1m")
			s := &stalled{world: w, c: w.browser2(w.read(w.trusted())), base: scheme + "://" + families[i].host}

			var taken atomic.Int64
			var up string
			var wg sync.WaitGroup
			wg.Go(func() {
				resp, err := s.c.Post(s.base+"/up", "text/plain", &countingReader{newPattern(wholeBody), &taken})
				if err != nil {
					t.Errorf("upload: %v", err)
					return
				}
				defer resp.Body.Close()
				b, _ := io.ReadAll(resp.Body)
				up = string(b)
			})
			s.settles("upload", &taken)
			close(release)
			wg.Wait()
			if want := fmt.Sprint(int64(wholeBody), error(nil)); up != want {
				t.Errorf("the server got %q, want %q", up, want)
			}

			resp, err := s.c.Get(s.base + "/down")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			s.settles("download", &sent)
			if n, err := newPattern(wholeBody).compare(resp.Body); n != wholeBody || err != nil {
				t.Errorf("the client got %d bytes, %v", n, err)
			}
			peak := p.peak()
			t.Logf("the most memory the proxy had: %d MiB", peak>>20)
			if peak >= mostKept {
				t.Errorf("the proxy took %d MiB, must stay under %d", peak>>20, mostKept>>20)
			}
		})
	}
}

type stalled struct {
	*world
	c    *http.Client
	base string
}

// settles waits until no more is moved of a stream that nobody reads, while
// others on its connection do move.
func (s *stalled) settles(what string, moved *atomic.Int64) {
	s.t.Helper()
	eventually(s.t, "the "+what, func() bool { return moved.Load() > 0 })
	for before := int64(-1); before != moved.Load(); {
		before = moved.Load()
		for range 20 {
			s.others(what)
		}
	}
	s.t.Logf("%s: %d KiB were taken", what, moved.Load()>>10)
	if moved.Load() > mostTaken {
		s.t.Errorf("%s: %d bytes were taken of what nobody reads", what, moved.Load())
	}
}

// others moves something to the server and back.
func (s *stalled) others(what string) {
	s.t.Helper()
	resp, err := s.c.Post(s.base+"/", "text/plain", newPattern(other))
	if err != nil {
		s.t.Fatalf("beside the %s: %v", what, err)
	}
	defer resp.Body.Close()
	if n, err := newPattern(other).compare(resp.Body); n != other || err != nil {
		s.t.Fatalf("beside the %s: %d bytes came back, %v", what, n, err)
	}
}

// A counter counts what is written to it.
type counter struct {
	io.Writer
	n *atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n.Add(int64(n))
	return n, err
}

// A countingReader counts what is read of it.
type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
