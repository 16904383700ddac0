package h2_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// quickPipe returns the ends of a connection in memory that holds some bytes
// either way, as a TCP connection does, and allocates nothing.
func quickPipe() (a, b *quickConn) {
	there, back := newRing(), newRing()
	return &quickConn{in: back, out: there}, &quickConn{in: there, out: back}
}

type quickConn struct{ in, out *ring }

func (c *quickConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *quickConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *quickConn) Close() error                { c.in.end(io.ErrClosedPipe); c.out.end(io.EOF); return nil }

func (c *quickConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
func (c *quickConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

func (c *quickConn) SetDeadline(time.Time) error      { return nil }
func (c *quickConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadDeadline ends reading: nobody here sets one that is to come.
func (c *quickConn) SetReadDeadline(time.Time) error {
	c.in.end(os.ErrDeadlineExceeded)
	return nil
}

// A ring is one direction.
type ring struct {
	mu   sync.Mutex
	cond sync.Cond
	buf  [256 << 10]byte
	r, n int
	err  error
}

func newRing() *ring {
	r := &ring{}
	r.cond.L = &r.mu
	return r
}

func (r *ring) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.cond.Broadcast()
}

func (r *ring) read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.n == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.cond.Wait()
	}
	n := copy(p, r.buf[r.r:min(r.r+r.n, len(r.buf))])
	r.r, r.n = (r.r+n)%len(r.buf), r.n-n
	r.cond.Broadcast()
	return n, nil
}

func (r *ring) write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		if r.err != nil {
			return done, io.ErrClosedPipe
		}
		w := (r.r + r.n) % len(r.buf)
		n := copy(r.buf[w:min(w+len(r.buf)-r.n, len(r.buf))], p[done:])
		if n == 0 {
			r.cond.Wait()
			continue
		}
		r.n += n
		done += n
		r.cond.Broadcast()
	}
	return done, nil
}

// A rawPeer writes and reads frames, and allocates nothing.
type rawPeer struct {
	conn net.Conn
	out  []byte
	in   []byte
	buf  []byte // of in, what has come
	skip int    // of a frame, what is still to come
	owed uint32 // of the connection's window, what is to be given back
}

func newRawPeer(c net.Conn) *rawPeer {
	return &rawPeer{conn: c, in: make([]byte, 64<<10), out: make([]byte, 0, 1<<20)}
}

func (p *rawPeer) frame(kind http2.FrameType, flags http2.Flags, id uint32, n int) {
	p.out = append(p.out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	p.out = binary.BigEndian.AppendUint32(p.out, id)
}

// greet begins as a client.
func (p *rawPeer) greet() {
	p.out = append(p.out, http2.ClientPreface...)
	p.open()
}

// open sends SETTINGS and a window that is wide enough for what comes between
// two readings.
func (p *rawPeer) open() {
	p.frame(http2.FrameSettings, 0, 0, 12)
	for _, s := range []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 250}, {ID: http2.SettingInitialWindowSize, Val: 1 << 24}} {
		p.out = binary.BigEndian.AppendUint16(p.out, uint16(s.ID))
		p.out = binary.BigEndian.AppendUint32(p.out, s.Val)
	}
	p.grant(1 << 28)
	p.flush()
}

func (p *rawPeer) grant(n uint32) {
	p.frame(http2.FrameWindowUpdate, 0, 0, 4)
	p.out = binary.BigEndian.AppendUint32(p.out, n)
}

func (p *rawPeer) flush() {
	if len(p.out) > 0 {
		_, _ = p.conn.Write(p.out) // who reads sees that the connection has ended
		p.out = p.out[:0]
	}
}

// message appends a HEADERS frame, and DATA frames for the body.
func (p *rawPeer) message(id uint32, head []byte, body string) {
	flags := http2.FlagHeadersEndHeaders
	if body == "" {
		flags |= http2.FlagHeadersEndStream
	}
	p.frame(http2.FrameHeaders, flags, id, len(head))
	p.out = append(p.out, head...)
	for len(body) > 0 {
		n := min(len(body), 16<<10)
		flags = 0
		if n == len(body) {
			flags = http2.FlagDataEndStream
		}
		p.frame(http2.FrameData, flags, id, n)
		p.out = append(p.out, body[:n]...)
		body = body[n:]
	}
}

// read reads once and tells of each frame whose header has come. It answers
// SETTINGS. It reports false at the connection's end.
func (p *rawPeer) read(each func(kind, flags byte, id uint32, n int)) bool {
	kept := copy(p.in, p.buf)
	n, err := p.conn.Read(p.in[kept:])
	if err != nil {
		return false
	}
	p.buf = p.in[:kept+n]
	for {
		m := min(p.skip, len(p.buf))
		p.skip -= m
		p.buf = p.buf[m:]
		if len(p.buf) < 9 {
			return true
		}
		h := p.buf
		p.skip = int(h[0])<<16 | int(h[1])<<8 | int(h[2])
		switch kind := http2.FrameType(h[3]); {
		case kind == http2.FrameSettings && h[4] == 0:
			p.frame(kind, http2.FlagSettingsAck, 0, 0)
		case kind == http2.FrameData:
			p.owed += uint32(p.skip)
		}
		if p.owed > 1<<24 {
			p.grant(p.owed)
			p.owed = 0
		}
		each(h[3], h[4], binary.BigEndian.Uint32(h[5:]), p.skip)
		p.buf = p.buf[9:]
	}
}

// answer is an origin: it answers each request when it is whole.
func (p *rawPeer) answer() {
	p.skip = len(http2.ClientPreface)
	p.open()
	first, head := responseBlocks()
	for p.read(func(kind, flags byte, id uint32, _ int) {
		if kind > 1 || flags&1 == 0 {
			return
		}
		p.message(id, first, smallBody)
		first = head
	}) {
		p.flush()
	}
}

const smallBody = `{"answer":42,"items":[1,2]}`

// requestBlocks returns the field blocks of a first request and of all others,
// most of whose fields are in the table by then.
func requestBlocks(body int) (first, others []byte) {
	method := "GET"
	if body > 0 {
		method = "POST"
	}
	fields := []string{
		":method", method, ":authority", "shop.example", ":scheme", "https", ":path", "/static/img/logo.svg?v=3",
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
		"accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
		"sec-fetch-site", "same-origin", "sec-fetch-mode", "no-cors", "sec-fetch-dest", "image",
		"referer", "https://shop.example/", "accept-encoding", "gzip, deflate, br, zstd",
		"accept-language", "en-US,en;q=0.9", "cookie", "session=0123456789abcdef; theme=dark", "priority", "u=1, i",
	}
	if body > 0 {
		fields = append(fields, "content-length", strconv.Itoa(body))
	}
	return twice(fields)
}

func responseBlocks() (first, others []byte) {
	return twice([]string{
		":status", "200", "date", "Mon, 06 Jul 2026 10:00:00 GMT", "server", "bench", "content-type", "application/json",
		"cache-control", "no-store", "content-length", strconv.Itoa(len(smallBody)),
	})
}

// twice encodes fields for the first time on a connection, and for the next. A
// path is written out each time, as browsers do.
func twice(fields []string) (first, others []byte) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for range 2 {
		first, others = others, nil
		for i := 0; i < len(fields); i += 2 {
			if name, v := fields[i], fields[i+1]; name == ":path" {
				b.Write([]byte{4, 0x80 | byte(hpack.HuffmanEncodeLength(v))})
				b.Write(hpack.AppendHuffmanString(nil, v))
			} else {
				_ = enc.WriteField(hpack.HeaderField{Name: name, Value: v}) // a buffer takes all
			}
		}
		others = append(others, b.Bytes()...)
		b.Reset()
	}
	return first, others
}
