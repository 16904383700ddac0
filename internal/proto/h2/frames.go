package h2

import (
	"encoding/binary"
	"io"
	"slices"

	"golang.org/x/net/http2"

	"transom/flow"
)

// frameHeaderLen is the length of a frame's header (RFC 9113, section 4.1).
const frameHeaderLen = 9

// frame takes one frame.
func (c *conn) frame(fh http2.FrameHeader) error {
	if limit := c.readMax.Load(); fh.Length > limit {
		return violation(FrameSizeError, "%v frame of %d bytes, and SETTINGS_MAX_FRAME_SIZE is %d", fh.Type, fh.Length, limit)
	}
	if !c.greeted { // RFC 9113, section 3.4
		c.greeted = true
		if fh.Type != http2.FrameSettings || fh.Flags.Has(http2.FlagSettingsAck) {
			return violation(ProtocolError, "first frame is %v and not SETTINGS", fh.Type)
		}
	}
	if err := c.order(fh); err != nil {
		return err
	}
	if fh.Type == http2.FrameData {
		return c.data(fh)
	}
	if fh.Length > maxBlock { // the peer may send long frames, but it has no reason to
		return violation(FrameSizeError, "%v frame of %d bytes", fh.Type, fh.Length)
	}
	if fh.Type == http2.FrameHeaders {
		return c.headers(fh)
	}
	f, err := c.fr.ReadFrameForHeader(fh)
	if err != nil {
		return c.brokenFrame(fh.Type, err)
	}
	switch f := f.(type) {
	case *http2.ContinuationFrame:
		return c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	case *http2.PushPromiseFrame:
		c.pending = fieldBlock{id: f.StreamID, push: true, promised: f.PromiseID}
		c.block, c.parts = c.block[:0], 0
		return c.fragment(f.HeaderBlockFragment(), f.HeadersEnded())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch f := f.(type) {
	case *http2.WindowUpdateFrame:
		return c.windowUpdateLocked(f)
	case *http2.SettingsFrame:
		return c.settingsLocked(f)
	case *http2.RSTStreamFrame:
		return c.resetLocked(f)
	case *http2.PingFrame:
		if err := c.calm.cost(costFrame, "PING"); err != nil {
			return err
		}
		c.side.relayLocked(fh.Type, fh.Flags, 0, f.Data[:])
	case *http2.PriorityFrame:
		return c.priorityLocked(f)
	case *http2.GoAwayFrame:
		c.side.goAwayLocked(f.LastStreamID, Code(f.ErrCode), f.DebugData())
		return c.calm.cost(costFrame, "GOAWAY")
	case *http2.UnknownFrame:
		if err := c.calm.cost(costFrame, "of an unknown type"); err != nil {
			return err
		}
		c.side.relayLocked(fh.Type, fh.Flags, fh.StreamID, f.Payload())
	default: // extensions that the Framer knows are relayed as they are
		return c.extensionLocked(fh, f)
	}
	return nil
}

// order checks that nothing stands within a field block but the rest of it (RFC
// 9113, section 4.3).
func (c *conn) order(fh http2.FrameHeader) error {
	switch rest := fh.Type == http2.FrameContinuation; {
	case c.inBlock && (!rest || fh.StreamID != c.pending.id):
		return violation(ProtocolError, "%v frame for stream %d within a field block for stream %d", fh.Type, fh.StreamID, c.pending.id)
	case rest && !c.inBlock:
		return violation(ProtocolError, "CONTINUATION frame for stream %d outside of a field block", fh.StreamID)
	}
	return nil
}

// headers takes a HEADERS frame (RFC 9113, section 6.2), which begins a field
// block. The Framer would allocate for each.
func (c *conn) headers(fh http2.FrameHeader) error {
	p := slices.Grow(c.block[:0], int(fh.Length))[:fh.Length]
	c.block, c.parts = p[:0], 0
	if _, err := io.ReadFull(&c.in, p); err != nil {
		return c.brokenFrame(fh.Type, err)
	}
	if fh.StreamID == 0 {
		return violation(ProtocolError, "HEADERS frame for the connection")
	}
	c.pending = fieldBlock{id: fh.StreamID, end: fh.Flags.Has(http2.FlagHeadersEndStream)}
	pad := 0
	if fh.Flags.Has(http2.FlagHeadersPadded) {
		if len(p) < 1 {
			return violation(FrameSizeError, "padded HEADERS frame without a pad length")
		}
		pad, p = int(p[0]), p[1:]
	}
	if fh.Flags.Has(http2.FlagHeadersPriority) {
		if len(p) < 5 {
			return violation(FrameSizeError, "HEADERS frame is shorter than the priority it has")
		}
		c.pending.priority, p = parsePriority(p), p[5:]
	}
	if pad > len(p) {
		return violation(ProtocolError, "HEADERS frame has more padding than payload")
	}
	return c.fragment(p[:len(p)-pad], fh.Flags.Has(http2.FlagHeadersEndHeaders))
}

// parsePriority reads what appendPriority appends.
func parsePriority(p []byte) *flow.H2Priority {
	parent := binary.BigEndian.Uint32(p)
	return &flow.H2Priority{Parent: parent & 0x7fffffff, Exclusive: parent>>31 == 1, Weight: p[4]}
}

// fragment takes a part of a field block, and the block when it is whole.
func (c *conn) fragment(p []byte, last bool) error {
	if c.parts++; c.parts > maxParts {
		return violation(EnhanceYourCalm, "a field block in more than %d frames", maxParts)
	}
	whole := p
	if !last || c.parts > 1 {
		if len(c.block)+len(p) > maxBlock {
			return violation(EnhanceYourCalm, "a field block of more than %d bytes", maxBlock)
		}
		c.block = append(c.block, p...)
		whole = c.block
	}
	c.inBlock = !last
	if !last {
		return nil
	}
	h := &c.pending
	h.limit = c.limits
	var err error
	if h.Block, err = c.dec.Decode(whole, c.limits); err != nil {
		return violation(CompressionError, "field block: %v", err)
	}
	if cap(c.block) > 4<<10 {
		c.block = nil
	}
	c.mu.Lock()
	s := c.streams[h.id]
	h.binary = c.binary[0] && c.binary[1]
	c.mu.Unlock()
	if h.push {
		return c.side.promise(h)
	}
	if h.priority != nil && h.priority.Parent == h.id {
		return &badStream{h.id, &StreamError{Code: ProtocolError, What: "stream depends on itself"}}
	}
	return c.side.fields(s, h)
}

func (c *conn) priorityLocked(f *http2.PriorityFrame) error {
	if err := c.calm.cost(costFrame, "PRIORITY"); err != nil {
		return err
	}
	if f.StreamDep == f.StreamID {
		switch {
		case c.streams[f.StreamID] != nil:
		case c.side.idleLocked(f.StreamID): // nothing may be sent on it, not even a reset
			return violation(ProtocolError, "stream %d depends on itself", f.StreamID)
		default:
			return nil
		}
		return &badStream{f.StreamID, &StreamError{Code: ProtocolError, What: "stream depends on itself"}}
	}
	c.side.relayLocked(f.Type, f.Flags, f.StreamID, appendPriority(nil, &flow.H2Priority{
		Parent: f.StreamDep, Exclusive: f.Exclusive, Weight: f.Weight,
	}))
	return nil
}

// appendPriority appends what PRIORITY frames carry, and HEADERS frames begin
// with (RFC 9113, sections 6.2 and 6.3).
func appendPriority(b []byte, p *flow.H2Priority) []byte {
	first := byte(p.Parent>>24) & 0x7f
	if p.Exclusive {
		first |= 0x80
	}
	return append(b, first, byte(p.Parent>>16), byte(p.Parent>>8), byte(p.Parent), p.Weight)
}

// extensionLocked relays frames of RFC 9218, which the Framer takes apart.
func (c *conn) extensionLocked(fh http2.FrameHeader, f http2.Frame) error {
	if err := c.calm.cost(costFrame, fh.Type.String()); err != nil {
		return err
	}
	if u, ok := f.(*http2.PriorityUpdateFrame); ok {
		id := u.PrioritizedStreamID
		p := append([]byte{byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, u.Priority...)
		c.side.relayLocked(fh.Type, fh.Flags, 0, p)
	}
	return nil
}

func (c *conn) settingsLocked(f *http2.SettingsFrame) error {
	if err := c.calm.cost(costFrame, "SETTINGS"); err != nil {
		return err
	}
	if f.IsAck() {
		c.settledLocked()
		return nil
	}
	list := parseSettings(f)
	for _, s := range list {
		if err := c.applyLocked(s); err != nil {
			return err
		}
	}
	c.appendLocked(func(b []byte) []byte {
		return appendFrame(b, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	})
	c.side.settingsLocked(list)
	return nil
}

// applyLocked follows one of the peer's settings.
func (c *conn) applyLocked(s Setting) error {
	if err := s.check(!c.server); err != nil {
		return err
	}
	switch s.ID {
	case settingTableSize:
		c.enc.SetMax(min(s.Value, maxTable))
	case settingBinary:
		c.binary[1] = s.Value == 1
	case settingMaxFrame:
		c.maxFrame = int(min(s.Value, 64<<10))
	case settingWindow:
		grown := int64(s.Value) - c.window
		c.window = int64(s.Value)
		for _, st := range c.streams {
			if st.send += grown; st.send > maxWindow {
				return violation(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a stream's window too large")
			}
			st.cond.Broadcast()
		}
	}
	return nil
}

func (c *conn) windowUpdateLocked(f *http2.WindowUpdateFrame) error {
	if err := c.calm.cost(costFrame, "WINDOW_UPDATE"); err != nil {
		return err
	}
	n := int64(f.Increment)
	if f.StreamID == 0 {
		if c.send += n; c.send > maxWindow {
			return violation(FlowControlError, "WINDOW_UPDATE makes the connection's window too large")
		}
		unused := c.send-n == defaultWindow
		for i, s := range c.starved {
			s.cond.Broadcast()
			s.starving = false
			c.starved[i] = nil
		}
		c.starved = c.starved[:0]
		if unused { // how large the window is to be; later ones give back what was sent
			c.side.relayLocked(f.Type, 0, 0, binary.BigEndian.AppendUint32(nil, f.Increment))
		}
		return nil
	}
	s := c.streams[f.StreamID]
	if s == nil {
		if c.side.idleLocked(f.StreamID) {
			return violation(ProtocolError, "WINDOW_UPDATE for stream %d, which is idle", f.StreamID)
		}
		return nil
	}
	if s.send += n; s.send > maxWindow {
		return &badStream{s.id, &StreamError{Code: FlowControlError, What: "WINDOW_UPDATE makes the window too large"}}
	}
	s.cond.Broadcast()
	if far := s.far; far != nil {
		room := s.send
		c.mu.Unlock() // the other connection's lock is not taken under this one's
		far.widen(room)
		c.mu.Lock()
	}
	return nil
}

func (c *conn) resetLocked(f *http2.RSTStreamFrame) error {
	s := c.streams[f.StreamID]
	if s == nil {
		if c.side.idleLocked(f.StreamID) {
			return violation(ProtocolError, "RST_STREAM for stream %d, which is idle", f.StreamID)
		}
		return c.calm.cost(costFrame, "RST_STREAM")
	}
	err := &StreamError{Code: Code(f.ErrCode), Remote: true}
	s.endLocked(err)                          // first, so that nothing answers it with a reset
	if far := s.far; far != nil && c.server { // at once: the client may leave behind it
		c.mu.Unlock()
		far.reset(err.Code, err)
		c.mu.Lock()
	}
	return c.calm.cost(costReset, "RST_STREAM")
}
