package pcapng

import (
	"bufio"
	"encoding/binary"
	"net/netip"
	"time"

	"transom/flow"
)

// plainPorts are the ports that a protocol has without TLS, for those that it has with:
// who reads a file would look for TLS there.
var plainPorts = map[uint16]uint16{443: 80, 465: 25, 636: 389, 853: 53, 989: 20, 990: 21, 992: 23, 993: 143, 994: 6667, 995: 110, 5061: 5060, 8883: 1883}

// endsOf returns the ends of a flow, with addresses for documentation (RFC 5737, RFC
// 3849) where one is not known. usual is the port of a server that has none.
func endsOf(f *flow.Flow, usual uint16) (e ends, moved uint16) {
	var client, server netip.AddrPort
	if c := f.Conn; c != nil {
		client, server = c.Client, c.Dst
		if !server.Addr().IsValid() && c.Server != nil && c.Server.To.IsValid() {
			server = c.Server.To
		}
		if plain := plainPorts[server.Port()]; plain != 0 && c.TLS() != nil {
			moved, server = server.Port(), netip.AddrPortFrom(server.Addr(), plain)
		}
	}
	a, b := client.Addr().Unmap().WithZone(""), server.Addr().Unmap().WithZone("")
	six := a.Is6() || b.Is6()
	a, b = known(a, six, 1), known(b, six, 2)
	port := client.Port()
	if port == 0 {
		port = 49152 + binary.BigEndian.Uint16(f.ID[14:])%16384
	}
	if server.Port() != 0 {
		usual = server.Port()
	}
	return ends{netip.AddrPortFrom(a, port), netip.AddrPortFrom(b, usual)}, moved
}

// known is a as an address of the wanted family.
func known(a netip.Addr, six bool, number byte) netip.Addr {
	switch {
	case !a.IsValid() && six:
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: number})
	case !a.IsValid():
		return netip.AddrFrom4([4]byte{192, 0, 2, number})
	case six && a.Is4():
		return netip.AddrFrom16(a.As16())
	}
	return a
}

// segment is how much is sent in one packet.
const segment = 32 << 10

// A stream is a TCP connection that never was, for one flow. It implements io.Writer
// for the bytes of one side after the other.
type stream struct {
	ends
	w       *bufio.Writer
	seq     [2]uint32
	from    int // who sends what is written
	at, end time.Time
	size    int64 // of what is sent between at and end
	sent    int64
	buf     []byte
	comment string // of the next packet
	scratch *scratch
}

// A scratch is what flows share.
type scratch struct{ packet, block, segment []byte }

// connect opens a connection. One of the same ends begins elsewhere, so that who reads
// takes it for another.
func (s *scratch) connect(w *bufio.Writer, f *flow.Flow, usual uint16) (*stream, uint16, error) {
	t := &stream{w: w, scratch: s, at: f.Start, end: f.Start, buf: s.segment[:0]}
	var moved uint16
	t.ends, moved = endsOf(f, usual)
	t.seq = [2]uint32{binary.BigEndian.Uint32(f.ID[8:]), binary.BigEndian.Uint32(f.ID[12:])}
	if err := t.packet(0, flagSYN, nil); err != nil {
		return nil, 0, err
	}
	if err := t.packet(1, flagSYN|flagACK, nil); err != nil {
		return nil, 0, err
	}
	return t, moved, t.packet(0, flagACK, nil)
}

// packet writes one packet.
func (t *stream) packet(from int, flags byte, payload []byte) error {
	ack := t.seq[1-from]
	if flags&flagACK == 0 {
		ack = 0
	}
	s := t.scratch
	s.packet = t.appendTCP(s.packet[:0], from, t.seq[from], ack, flags, payload)
	t.seq[from] += uint32(len(payload))
	if flags&(flagSYN|flagFIN) != 0 {
		t.seq[from]++
	}
	comment := ""
	if len(payload) > 0 || flags&flagRST != 0 {
		comment, t.comment = t.comment, ""
	}
	return s.put(t.w, t.now(), from, comment)
}

// put writes the packet that was made.
func (s *scratch) put(w *bufio.Writer, at time.Time, from int, comment string) error {
	s.block = appendPacket(s.block[:0], at, s.packet, [...]uint32{inbound, outbound}[from], comment)
	_, err := w.Write(s.block)
	return err
}

// now is the time of the next packet: what is sent over a time is sent evenly.
func (t *stream) now() time.Time {
	if t.size <= 0 || t.sent >= t.size {
		if t.sent > 0 {
			return t.end
		}
		return t.at
	}
	return t.at.Add(time.Duration(float64(t.end.Sub(t.at)) * float64(t.sent) / float64(t.size)))
}

// say begins what one side sends: about size bytes, from at to end. Time does not
// run backwards.
func (t *stream) say(from int, at, end time.Time, size int64, comment string) {
	if at.Before(t.end) {
		at = t.end
	}
	if end.Before(at) {
		end = at
	}
	t.from, t.at, t.end, t.size, t.sent, t.comment = from, at, end, size, 0, comment
}

// Write implements io.Writer.
func (t *stream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := min(len(p), segment-len(t.buf))
		t.buf, p = append(t.buf, p[:k]...), p[k:]
		if len(t.buf) == segment {
			if err := t.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush sends what was written.
func (t *stream) flush() error {
	if len(t.buf) == 0 {
		return nil
	}
	err := t.packet(t.from, flagPSH|flagACK, t.buf)
	t.sent += int64(len(t.buf))
	t.buf = t.buf[:0]
	t.scratch.segment = t.buf
	return err
}

// reset ends the connection as a server does that has failed.
func (t *stream) reset(comment string) error {
	t.comment = comment
	return t.packet(1, flagRST|flagACK, nil)
}

// close ends the connection, as the flow ended.
func (t *stream) close(f *flow.Flow) error {
	if err := t.flush(); err != nil {
		return err
	}
	t.say(0, f.End, f.End, 0, "")
	if f.State == flow.Failed {
		return t.reset("")
	}
	if err := t.packet(1, flagFIN|flagACK, nil); err != nil {
		return err
	}
	if err := t.packet(0, flagFIN|flagACK, nil); err != nil {
		return err
	}
	return t.packet(1, flagACK, nil)
}
