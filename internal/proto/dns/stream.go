package dns

import "encoding/binary"

// A Stream cuts one direction of a TCP connection into messages, each of which has
// its length before it (RFC 1035, section 4.2.2). The zero value is at the beginning.
type Stream struct {
	part []byte // of a message that is not whole
}

// Cut calls f for each message that p completes, which is valid until f returns.
func (s *Stream) Cut(p []byte, f func(message []byte)) {
	for len(p) > 0 {
		if len(s.part) == 0 && len(p) >= 2 {
			if n := 2 + int(binary.BigEndian.Uint16(p)); n <= len(p) {
				f(p[2:n])
				p = p[n:]
				continue
			}
		}
		want := 2
		if len(s.part) >= 2 {
			want += int(binary.BigEndian.Uint16(s.part))
		}
		n := min(want-len(s.part), len(p))
		s.part = append(s.part, p[:n]...)
		p = p[n:]
		if len(s.part) >= 2 && len(s.part) == 2+int(binary.BigEndian.Uint16(s.part)) {
			f(s.part[2:])
			s.part = s.part[:0]
			if cap(s.part) > 4<<10 {
				s.part = nil // one long message is not to be paid for ever
			}
		}
	}
}

// Rest is what has come of a message that is not whole.
func (s *Stream) Rest() []byte { return s.part }
