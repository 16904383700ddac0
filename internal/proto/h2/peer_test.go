package h2_test

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"transom/internal/testnet"
)

// An rfcFrame is a frame that a peer received; a header block counts as one,
// whatever frames it came in.
type rfcFrame struct {
	http2.FrameHeader
	text     string // what it says, "a=b c=d" for fields
	block    []byte
	priority string // of HEADERS that say one
}

// An rfcPeer is the test's end of a connection. It says only what it is told
// to, but that SETTINGS are acknowledged by settle.
type rfcPeer struct {
	t      rfcT
	c      *testnet.Conn
	fr     *http2.Framer
	enc    *hpack.Encoder
	buf    bytes.Buffer
	dec    *hpack.Decoder
	serves bool // it is a server
	mute   bool // settle acknowledges nothing
	dry    bool // there is no other side: settle does nothing
	acked  int
	// The other side's windows: what the frames up to counted have granted, and
	// what was sent.
	counted, initial int
	granted, spent   map[uint32]int

	mu   sync.Mutex
	gate chan struct{} // not nil: the peer does not read until it is closed

	// What the reader hears goes to frames and end when the test looks (take),
	// so that it is the test's alone.
	heard  []rfcFrame
	ended  error
	frames []rfcFrame
	end    error // how the connection ended, nil as long as it has not
}

func newPeer(t rfcT, c *testnet.Conn, serves bool) *rfcPeer {
	p := &rfcPeer{t: t, c: c, serves: serves, fr: http2.NewFramer(c, c), dec: hpack.NewDecoder(4096, nil)}
	p.fr.AllowIllegalWrites = true
	p.fr.SetMaxReadFrameSize(1<<24 - 1)
	p.enc = hpack.NewEncoder(&p.buf)
	go p.read()
	return p
}

// hold has the peer read nothing until stop.
func (p *rfcPeer) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gate = make(chan struct{})
}

// stop ends what hold began.
func (p *rfcPeer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gate != nil {
		close(p.gate)
		p.gate = nil
	}
}

// wait waits as long as hold says.
func (p *rfcPeer) wait() {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

func (p *rfcPeer) read() {
	if preface := make([]byte, len(http2.ClientPreface)); p.serves {
		if _, err := io.ReadFull(p.c, preface); err != nil {
			p.hear(nil, err)
			return
		}
		if string(preface) != http2.ClientPreface {
			p.t.Errorf("the client begins with %q", preface)
		}
	}
	for {
		p.wait()
		f, err := p.fr.ReadFrame()
		if err == nil {
			var n rfcFrame
			n, err = p.note(f)
			p.hear(&n, nil)
		}
		if err != nil {
			p.hear(nil, err)
			return
		}
	}
}

func (p *rfcPeer) hear(f *rfcFrame, end error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f != nil {
		p.heard = append(p.heard, *f)
	}
	p.ended = end
}

// take has the test see what was heard.
func (p *rfcPeer) take() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, p.heard...)
	p.heard, p.end = p.heard[:0], p.ended
}

// note keeps what f says. Framer takes care that no frame is between those of
// a header block.
func (p *rfcPeer) note(f http2.Frame) (n rfcFrame, err error) {
	n.FrameHeader = f.Header()
	switch f := f.(type) {
	case *http2.DataFrame:
		n.text = string(f.Data())
	case *http2.HeadersFrame:
		n.block = bytes.Clone(f.HeaderBlockFragment())
		if f.HasPriority() {
			n.priority = fmt.Sprintf("%d %d %v", f.Priority.StreamDep, f.Priority.Weight, f.Priority.Exclusive)
		}
		err = p.join(&n, f.HeadersEnded())
	case *http2.PushPromiseFrame:
		n.block = bytes.Clone(f.HeaderBlockFragment())
		err = p.join(&n, f.HeadersEnded())
	case *http2.PriorityFrame:
		n.text = fmt.Sprintf("%d %d %v", f.StreamDep, f.Weight, f.Exclusive)
	case *http2.RSTStreamFrame:
		n.text = f.ErrCode.String()
	case *http2.SettingsFrame:
		n.text = rfcSettings(f)
		if v, ok := f.Value(http2.SettingHeaderTableSize); ok {
			p.enc.SetMaxDynamicTableSizeLimit(v)
		}
	case *http2.PingFrame:
		n.text = string(f.Data[:])
	case *http2.GoAwayFrame:
		n.text = fmt.Sprintf("%d %v %s", f.LastStreamID, f.ErrCode, f.DebugData())
	case *http2.WindowUpdateFrame:
		n.text = fmt.Sprint(f.Increment)
	case *http2.PriorityUpdateFrame:
		n.text = fmt.Sprintf("%d %s", f.PrioritizedStreamID, f.Priority)
	case *http2.UnknownFrame:
		n.text = string(f.Payload())
	}
	return n, err
}

// join reads the rest of a header block.
func (p *rfcPeer) join(n *rfcFrame, ended bool) error {
	for !ended {
		f, err := p.fr.ReadFrame()
		if err != nil {
			return err
		}
		c := f.(*http2.ContinuationFrame) // Framer has seen to it
		n.block = append(n.block, c.HeaderBlockFragment()...)
		ended = c.HeadersEnded()
	}
	fields, err := p.dec.DecodeFull(n.block)
	if err != nil {
		p.t.Errorf("header block %x: %v", n.block, err)
	}
	var parts []string
	for _, f := range fields {
		parts = append(parts, f.Name+"="+f.Value)
	}
	n.text = strings.Join(parts, " ")
	return nil
}

func rfcSettings(f *http2.SettingsFrame) string {
	if f.IsAck() {
		return "ACK"
	}
	var parts []string
	_ = f.ForeachSetting(func(s http2.Setting) error {
		parts = append(parts, fmt.Sprintf("%d=%d", s.ID, s.Val))
		return nil
	})
	return strings.Join(parts, " ")
}

// settle waits until nothing moves any more, and acknowledges SETTINGS.
func (p *rfcPeer) settle() {
	if p.dry {
		return
	}
	synctest.Wait()
	p.take()
	if p.mute {
		return
	}
	for ; p.acked < len(p.frames); p.acked++ {
		if f := p.frames[p.acked]; f.Type == http2.FrameSettings && f.text != "ACK" {
			p.patient()
			_ = p.fr.WriteSettingsAck()
		}
	}
	synctest.Wait()
	p.take()
}

// settingsSeen are the SETTINGS received that were no ACK.
func (p *rfcPeer) settingsSeen() (seen []string) {
	for _, s := range p.texts(http2.FrameSettings) {
		if s != "ACK" {
			seen = append(seen, s)
		}
	}
	return seen
}

// patient bounds how long a write waits for one who does not read.
func (p *rfcPeer) patient() { _ = p.c.SetWriteDeadline(time.Now().Add(time.Minute)) }

func (p *rfcPeer) preface(s ...http2.Setting) {
	p.patient()
	_, _ = io.WriteString(p.c, http2.ClientPreface)
	p.settings(s...)
}

func (p *rfcPeer) settings(s ...http2.Setting) {
	for _, s := range s {
		if s.ID == http2.SettingHeaderTableSize {
			p.dec.SetAllowedMaxDynamicTableSize(s.Val)
		}
	}
	p.patient()
	_ = p.fr.WriteSettings(s...)
}

// encode is a header block of fields, each "name=value".
func (p *rfcPeer) encode(fields ...string) []byte {
	p.buf.Reset()
	for _, f := range fields {
		i := strings.IndexByte(f, '=')
		_ = p.enc.WriteField(hpack.HeaderField{Name: f[:i], Value: f[i+1:]})
	}
	return bytes.Clone(p.buf.Bytes())
}

func (p *rfcPeer) head(id uint32, end bool, fields ...string) {
	p.patient()
	_ = p.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, BlockFragment: p.encode(fields...)})
}

func (p *rfcPeer) data(id uint32, end bool, s string) {
	p.patient()
	_ = p.fr.WriteData(id, end, []byte(s))
}

func (p *rfcPeer) raw(typ http2.FrameType, flags http2.Flags, id uint32, payload string) {
	p.patient()
	_ = p.fr.WriteRawFrame(typ, flags, id, []byte(payload))
}

func (p *rfcPeer) reset(id uint32, code http2.ErrCode) {
	p.patient()
	_ = p.fr.WriteRSTStream(id, code)
}

func (p *rfcPeer) window(id, n uint32) {
	p.patient()
	_ = p.fr.WriteWindowUpdate(id, n)
}

func (p *rfcPeer) ping(s string) {
	p.patient()
	_ = p.fr.WritePing(false, [8]byte([]byte(s)))
}

// texts is what was received in frames of a type.
func (p *rfcPeer) texts(typ http2.FrameType) (texts []string) {
	p.take()
	for _, f := range p.frames {
		if f.Type == typ {
			texts = append(texts, f.text)
		}
	}
	return texts
}

// stream is what was received on a stream: ":status=200|hello|END", with
// "RST CANCEL" for a reset. Windows and priorities are left out.
func (p *rfcPeer) stream(id uint32) string {
	p.take()
	var parts []string
	inData := false
	for _, f := range p.frames {
		if f.StreamID != id {
			continue
		}
		switch {
		case f.Type == http2.FrameData && inData:
			parts[len(parts)-1] += f.text
		case f.Type == http2.FrameData && f.text == "":
		case f.Type == http2.FrameData || f.Type == http2.FrameHeaders:
			parts = append(parts, f.text)
			inData = f.Type == http2.FrameData
		case f.Type == http2.FrameRSTStream:
			parts = append(parts, "RST "+f.text)
		}
		if (f.Type == http2.FrameData || f.Type == http2.FrameHeaders) && f.Flags.Has(http2.FlagDataEndStream) {
			parts = append(parts, "END")
		}
	}
	return strings.Join(parts, "|")
}

// got is how many bytes of DATA came on a stream.
func (p *rfcPeer) got(id uint32) (n int) {
	p.take()
	for _, f := range p.frames {
		if f.Type == http2.FrameData && f.StreamID == id {
			n += len(f.text)
		}
	}
	return n
}

// streams are the numbers of those that HEADERS came on, in order.
func (p *rfcPeer) streams() (ids []uint32) {
	p.take()
	for _, f := range p.frames {
		if f.Type == http2.FrameHeaders && !slices.Contains(ids, f.StreamID) {
			ids = append(ids, f.StreamID)
		}
	}
	return ids
}

func (p *rfcPeer) wantStream(id uint32, want string) {
	p.t.Helper()
	p.settle()
	if got := p.stream(id); got != want {
		p.t.Errorf("stream %d: received %.200q, want %.200q; GOAWAY %q, end %v", id, got, want, p.texts(http2.FrameGoAway), p.end)
	}
}

// wantAlive checks that the connection goes on.
func (p *rfcPeer) wantAlive() {
	p.t.Helper()
	p.settle()
	before := len(p.texts(http2.FramePing))
	p.ping("alive??!")
	p.settle()
	if len(p.texts(http2.FramePing)) != before+1 || len(p.texts(http2.FrameGoAway)) > 0 {
		p.t.Errorf("the connection is not alive: GOAWAY %q, end %v", p.texts(http2.FrameGoAway), p.end)
	}
}

// wantGoAway checks that the connection was ended with one of the codes.
func (p *rfcPeer) wantGoAway(codes ...http2.ErrCode) {
	p.t.Helper()
	p.settle()
	all := p.texts(http2.FrameGoAway)
	if len(all) == 0 {
		p.t.Errorf("no GOAWAY, want %v; end %v, frames %v", codes, p.end, p.frames)
		return
	}
	last := strings.Fields(all[len(all)-1])[1]
	if !slices.ContainsFunc(codes, func(c http2.ErrCode) bool { return c.String() == last }) {
		p.t.Errorf("GOAWAY %q, want %v", all, codes)
	}
}

// room is what the other side's windows allow to be sent on a stream, or on the
// connection for 0.
func (p *rfcPeer) room(id uint32) int {
	p.take()
	if p.granted == nil {
		p.granted, p.initial = map[uint32]int{}, 65535
	}
	for ; p.counted < len(p.frames); p.counted++ {
		f := p.frames[p.counted]
		n := 0
		switch f.Type {
		case http2.FrameWindowUpdate:
			_, _ = fmt.Sscan(f.text, &n)
			p.granted[f.StreamID] += n
		case http2.FrameSettings:
			for _, s := range strings.Fields(f.text) {
				if _, err := fmt.Sscanf(s, "4=%d", &n); err == nil {
					p.initial = n
				}
			}
		}
	}
	if id == 0 {
		return 65535 + p.granted[0] - p.spent[0]
	}
	return p.initial + p.granted[id] - p.spent[id]
}

// sent takes n bytes from the windows.
func (p *rfcPeer) sent(id uint32, n int) {
	if p.spent == nil {
		p.spent = map[uint32]int{}
	}
	p.spent[id] += n
	p.spent[0] += n
}

// forget drops what has been received so far.
func (p *rfcPeer) forget() {
	p.take()
	p.frames, p.acked, p.counted = p.frames[:0], 0, 0
}

// drop forgets the frames of a type.
func (p *rfcPeer) drop(typ http2.FrameType) {
	p.settle()
	p.frames = slices.DeleteFunc(p.frames, func(f rfcFrame) bool { return f.Type == typ })
	p.acked = len(p.frames)
}
