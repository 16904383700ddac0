package nettest_test

import (
	"bytes"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A nasty is what a client does that means no good.
type nasty struct {
	name   string
	do     func(b *badClient) // until the connection ends or a lot was sent
	reason string             // that the record of the connection gives
}

var nasties = []nasty{
	{"rapid-reset", func(b *badClient) {
		for i := range b.aLot() {
			b.head(1+2*i, true, "/echo")
			b.WriteRSTStream(1+2*i, http2.ErrCodeCancel)
		}
	}, "ENHANCE_YOUR_CALM"},
	{"settings-flood", func(b *badClient) {
		for range b.aLot() {
			b.WriteSettings()
		}
	}, "ENHANCE_YOUR_CALM"},
	{"ping-flood", func(b *badClient) {
		for range b.aLot() {
			b.WritePing(false, [8]byte{})
		}
	}, "ENHANCE_YOUR_CALM"},
	{"priority-flood", func(b *badClient) {
		for range b.aLot() {
			b.WritePriority(1, http2.PriorityParam{})
		}
	}, "ENHANCE_YOUR_CALM"},
	{"empty-data-flood", func(b *badClient) {
		b.head(1, false, "/echo")
		for range b.aLot() {
			b.WriteData(1, false, nil)
		}
	}, "ENHANCE_YOUR_CALM"},
	{"continuation-flood", func(b *badClient) {
		b.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.block("/echo")})
		for range b.aLot() {
			b.WriteContinuation(1, false, nil)
		}
	}, "ENHANCE_YOUR_CALM"},
	{"long-block", func(b *badClient) {
		b.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.block("/echo")})
		for range b.aLot() {
			b.WriteContinuation(1, false, b.block(strings.Repeat("~", 16000))) // which has no shorter code
		}
	}, "ENHANCE_YOUR_CALM"},
	{"hpack-bomb", func(b *badClient) {
		for i := range b.aLot() {
			// One entry that is as large as the table may be, and that again and again.
			block := b.block("/echo", "x", strings.Repeat("a", 4000))
			block = append(block, bytes.Repeat([]byte{0x80 | 62}, 10000)...)
			b.WriteHeaders(http2.HeadersFrameParam{StreamID: 1 + 2*i, EndStream: true, EndHeaders: true, BlockFragment: block})
		}
	}, "ENHANCE_YOUR_CALM"},
	{"window-overflow", func(b *badClient) {
		b.WriteWindowUpdate(0, 1<<31-1)
	}, "FLOW_CONTROL_ERROR"},
	{"beyond-window", func(b *badClient) {
		b.head(1, false, "/stall")
		b.head(3, false, "/stall")
		for range b.aLot() {
			b.WriteData(1, false, make([]byte, 16<<10))
			b.WriteData(3, false, make([]byte, 16<<10))
		}
	}, "ENHANCE_YOUR_CALM"},
}

// TestNasty has clients do what costs them little and us a lot. It must cost no
// more than their connections: others go on, the memory is bounded, and the
// record says what was wrong.
func TestNasty(t *testing.T) {
	w := newWorld(t)
	stop := make(chan struct{})
	w.serve2(func(rw http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/stall":
			select {
			case <-stop:
			case <-req.Context().Done():
			}
		case "/large":
			io.Copy(rw, newPattern(1<<20))
		default:
			io.Copy(rw, req.Body)
		}
	})
	t.Cleanup(func() { close(stop) })
	w.redirect("80,443")
	p := w.transom("--json", "--flow-detail", "3", "--store-max", "1m")
	s := &stalled{world: w, c: w.browser2(w.read(w.trusted())), base: "http://" + families[0].host}
	s.others("nothing")

	b := w.badClient(t, true) // never reads
	b.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
	b.WriteWindowUpdate(0, 1<<31-1-65535)
	for i := range uint32(100) {
		b.head(1+2*i, true, "/large")
	}
	s.others("a client that does not read")

	for _, n := range nasties {
		t.Run(n.name, func(t *testing.T) {
			b := w.badClient(t, false)
			done := make(chan struct{})
			go func() {
				defer close(done)
				n.do(b)
			}()
			s.others(n.name)
			<-b.ended
			b.conn.Close()
			<-done
			s.others(n.name)
			is := func(r record) bool { return r.Type == "conn" && r.Client.Addr == b.conn.LocalAddr().String() }
			if r := p.await(1, is)[0]; !strings.HasPrefix(r.Reason, "client broke HTTP/2: ") || !strings.Contains(r.Reason, n.reason) {
				t.Errorf("recorded %+v, want %s", r, n.reason)
			}
		})
	}
	peak := p.peak()
	t.Logf("the most memory the proxy had: %d MiB", peak>>20)
	if peak >= 2*mostKept {
		t.Errorf("the proxy took %d MiB, must stay under %d", peak>>20, 2*mostKept>>20)
	}
}

// A badClient writes frames as it likes; what it can't write any more is lost.
type badClient struct {
	*http2.Framer
	conn  *net.TCPConn
	enc   *hpack.Encoder
	buf   bytes.Buffer
	ended chan struct{} // the proxy has ended the connection
}

func (w *world) badClient(t *testing.T, deaf bool) *badClient {
	t.Helper()
	c := w.dial(families[0].addr + ":80")
	b := &badClient{Framer: http2.NewFramer(c, nil), conn: c, ended: make(chan struct{})}
	b.AllowIllegalWrites = true
	b.enc = hpack.NewEncoder(&b.buf)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	b.WriteSettings()
	if deaf {
		return b
	}
	go func() {
		defer close(b.ended)
		io.Copy(io.Discard, c)
	}()
	return b
}

// aLot counts further than a client may get, or until its connection ends.
func (b *badClient) aLot() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for i := range uint32(200000) {
			select {
			case <-b.ended:
				return
			default:
			}
			if !yield(i) {
				return
			}
		}
	}
}

// head begins a request.
func (b *badClient) head(id uint32, end bool, path string) {
	b.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: b.block(path)})
}

// block returns the fields of a request, and more.
func (b *badClient) block(path string, more ...string) []byte {
	b.buf.Reset()
	fields := append([]string{":method", "POST", ":scheme", "http", ":authority", shop, ":path", path}, more...)
	for i := 0; i < len(fields); i += 2 {
		b.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return bytes.Clone(b.buf.Bytes())
}
