package steer

import (
	"net/netip"
	"testing"
)

func segments() []segment {
	return []segment{
		{netip.MustParseAddrPort("192.168.1.2:50000"), netip.MustParseAddrPort("192.0.2.1:443"), 0xfffffffe, 0, flagSYN},
		{netip.MustParseAddrPort("[fd01::2]:50000"), netip.MustParseAddrPort("[2001:db8::1]:80"), 1, 7, flagSYN | flagACK},
	}
}

func TestSegment(t *testing.T) {
	for _, s := range segments() {
		p := s.packet(1)
		if got, ok := parseSegment(p); !ok || got != s {
			t.Errorf("%v came back as %v, %v", s, got, ok)
		}
		a := s.accepted()
		if a.src != s.dst || a.dst != s.src || a.ack != s.seq+1 || a.flags != flagSYN|flagACK {
			t.Errorf("%v is answered by %v", s, a)
		}
	}
}

// FuzzSegment parses what is there, and writes it as it was.
func FuzzSegment(f *testing.F) {
	for _, s := range segments() {
		f.Add(s.packet(64))
	}
	f.Add([]byte{0x4f})
	f.Add([]byte{0x60, 39: 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseSegment(b)
		if !ok {
			return
		}
		if again, ok := parseSegment(s.packet(1)); !ok || again != s {
			t.Errorf("%v came back as %v, %v", s, again, ok)
		}
	})
}
