package nettest_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A speaker is the origin's side of an HTTP/2 connection.
type speaker struct {
	*seen
	framer *http2.Framer
	notes  *frames
	wg     sync.WaitGroup

	writing sync.Mutex // held while frames are written
	block   bytes.Buffer
	encoder *hpack.Encoder

	mu      sync.Mutex
	changed *sync.Cond
	agreed  bool  // the client has acknowledged our settings
	gone    bool  // the client has ended
	window  int64 // what may be sent on the connection
	initial int64 // on a new stream
	streams map[uint32]*streaming
}

// A streaming is one exchange.
type streaming struct {
	window   int64
	answer   string
	method   string
	expect   bool
	answered bool
	reset    bool // by the client
}

// settings are what the origin begins with, in an order of its own.
var settings = []http2.Setting{
	{ID: http2.SettingInitialWindowSize, Val: 1 << 20},
	{ID: http2.SettingMaxConcurrentStreams, Val: 50},
	{ID: http2.SettingMaxFrameSize, Val: 32 << 10},
	{ID: http2.SettingMaxHeaderListSize, Val: 48 << 10},
}

// speak2 answers requests of HTTP/2 until the connection ends.
func (s *seen) speak2(in *bufio.Reader) {
	p := &speaker{seen: s, framer: http2.NewFramer(s.Conn, in), notes: newFrames(), window: 65535, initial: 65535, streams: map[uint32]*streaming{}}
	p.changed = sync.NewCond(&p.mu)
	p.encoder = hpack.NewEncoder(&p.block)
	p.framer.SetMaxReadFrameSize(1 << 20)
	_, _ = in.Discard(len(preface)) // it is there
	_ = p.framer.WriteSettings(settings...)
	_ = p.framer.WriteWindowUpdate(0, 1<<20) // a client that has left is noticed by reading
	err := p.read()
	s.ended(err)
	p.mu.Lock()
	p.gone = true
	p.changed.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
	s.mu.Lock()
	s.notes = p.notes.lines()
	s.mu.Unlock()
}

// read takes frames until there are no more.
func (p *speaker) read() error {
	for {
		f, err := p.framer.ReadFrame()
		if err != nil {
			return err
		}
		h, err := p.notes.note(f)
		if err != nil {
			return err
		}
		if h != nil {
			p.asked(h)
		}
		p.take(f)
	}
}

// take does what a frame demands.
func (p *speaker) take(f http2.Frame) {
	id := f.Header().StreamID
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if v, ok := f.Value(http2.SettingHeaderTableSize); ok && !f.IsAck() {
			p.write(func() { p.encoder.SetMaxDynamicTableSizeLimit(v) })
		}
		if v, ok := f.Value(http2.SettingInitialWindowSize); ok && !f.IsAck() {
			p.mu.Lock()
			for _, st := range p.streams {
				st.window += int64(v) - p.initial
			}
			p.initial = int64(v)
			p.mu.Unlock()
		}
		if !f.IsAck() {
			p.write(func() { _ = p.framer.WriteSettingsAck() })
			break
		}
		p.mu.Lock()
		p.agreed = true
		p.mu.Unlock()
	case *http2.PingFrame:
		if !f.IsAck() {
			p.write(func() { _ = p.framer.WritePing(true, f.Data) })
		}
	case *http2.WindowUpdateFrame:
		p.mu.Lock()
		if id == 0 {
			p.window += int64(f.Increment)
		} else if st := p.streams[id]; st != nil {
			st.window += int64(f.Increment)
		}
		p.mu.Unlock()
	case *http2.RSTStreamFrame:
		p.mu.Lock()
		if st := p.streams[id]; st != nil {
			st.reset = true
		}
		p.mu.Unlock()
	case *http2.DataFrame:
		if n := f.Length; n > 0 {
			p.write(func() {
				_ = p.framer.WriteWindowUpdate(0, n)
				_ = p.framer.WriteWindowUpdate(id, n)
			})
		}
		if st := p.streams[id]; st != nil && (f.StreamEnded() || st.answer == "early") {
			p.reply(id, st)
		}
	}
	p.changed.Broadcast()
}

// asked takes a header block: a request, or trailers.
func (p *speaker) asked(h *head) {
	st := p.streams[h.stream]
	if st == nil {
		st = &streaming{window: p.initial}
		for _, f := range h.fields {
			switch f.Name {
			case ":method":
				st.method = f.Value
			case ":path":
				path, _, _ := strings.Cut(f.Value, "?")
				st.answer = p.name(path)
			case "expect":
				st.expect = true
			}
		}
		p.mu.Lock()
		p.streams[h.stream] = st
		p.mu.Unlock()
	}
	switch {
	case h.ended || st.answer == "refuse":
		p.reply(h.stream, st)
	case st.expect:
		p.head(h.stream, []pair{{":status", "100"}, {"x-interim", "1"}}, false)
	}
}

// reply answers a stream, once.
func (p *speaker) reply(id uint32, st *streaming) {
	if st.answered {
		return
	}
	st.answered = true
	a, ok := answers[st.answer]
	switch {
	case !ok:
		a = answer{status: "404 Not Found", part: -1}
	case a.end == refuse && id > 1: // what is asked again is answered
		a = answers["get"]
	}
	p.wg.Go(func() {
		if st.answer == "meet" {
			p.o.meet()
		}
		p.answer2(id, st, a)
	})
}

// answer2 sends an answer in HTTP/2 and ends as it says.
func (p *speaker) answer2(id uint32, st *streaming, a answer) {
	body := a.body
	if a.chunks != nil {
		body = hello
	}
	if a.status != "" {
		if a.interim != nil {
			p.head(id, append([]pair{{":status", "103"}}, a.interim...), false)
		}
		fields := append([]pair{{":status", a.status[:3]}}, a.header...)
		switch {
		case a.end == flood:
			fields = append(fields, pair{"content-length", fmt.Sprint(int64(1) << 40)})
		case a.framing == byLength:
			fields = append(fields, pair{"content-length", fmt.Sprint(len(body))})
		}
		none := st.method == "HEAD" || body == ""
		p.head(id, fields, none)
		if none {
			return
		}
		if a.part >= 0 {
			body = body[:min(a.part, len(body))]
		}
		last := a.part < 0 && a.trailer == nil && a.end != flood
		for p.body(id, st, body, last) && a.end == flood {
		}
		if a.trailer != nil {
			p.head(id, a.trailer, true)
		}
	}
	if a.end != goOn { // a client that has something to say would notice in two ways
		p.mu.Lock()
		for !p.agreed && !p.gone {
			p.changed.Wait()
		}
		p.mu.Unlock()
	}
	switch a.end {
	case finish, cut:
		p.write(func() { p.finish(a.end == finish) })
	case reset:
		p.write(func() { _ = p.framer.WriteRSTStream(id, http2.ErrCodeInternal) })
	case refuse:
		p.write(func() { _ = p.framer.WriteRSTStream(id, http2.ErrCodeRefusedStream) })
	case abandon:
		p.rst()
	case goAway:
		p.write(func() { _ = p.framer.WriteGoAway(id, http2.ErrCodeEnhanceYourCalm, []byte("enough")) })
	}
}

// write has f write frames while nobody else does.
func (p *speaker) write(f func()) {
	p.writing.Lock()
	defer p.writing.Unlock()
	f()
}

// head sends a header block. What is secret is not to be indexed.
func (p *speaker) head(id uint32, fields []pair, last bool) {
	p.write(func() {
		p.block.Reset()
		for _, f := range fields {
			if f.name == "Connection" {
				continue
			}
			_ = p.encoder.WriteField(hpack.HeaderField{Name: strings.ToLower(f.name), Value: f.value, Sensitive: strings.EqualFold(f.name, "set-cookie")})
		}
		_ = p.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block.Bytes(), EndHeaders: true, EndStream: last})
	})
}

// body sends what the windows allow, and waits for more. It reports whether all
// of it went out.
func (p *speaker) body(id uint32, st *streaming, what string, last bool) bool {
	for what != "" {
		p.mu.Lock()
		for p.window <= 0 || st.window <= 0 {
			if p.gone || st.reset {
				break
			}
			p.changed.Wait()
		}
		if p.gone || st.reset {
			p.mu.Unlock()
			return false
		}
		n := min(int64(len(what)), p.window, st.window, 16<<10)
		p.window -= n
		st.window -= n
		p.mu.Unlock()
		part := what[:n]
		what = what[n:]
		p.write(func() { _ = p.framer.WriteData(id, last && what == "", []byte(part)) })
	}
	return true
}

var _ io.Reader = (*seen)(nil)
