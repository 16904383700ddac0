package rootless

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// TestUnreachable has somebody else read what is sent.
func TestUnreachable(t *testing.T) {
	client, dst := netip.MustParseAddrPort("192.0.2.2:40000"), netip.MustParseAddrPort("10.9.0.2:53")
	b := unreachable4(client, dst)
	m, err := icmp.ParseMessage(1, b)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := m.Body.(*icmp.DstUnreach)
	if !ok || m.Code != 3 || checksum(b) != 0 {
		t.Fatalf("%+v, sum %#x", m, checksum(b))
	}
	h, err := ipv4.ParseHeader(body.Data)
	if err != nil {
		t.Fatal(err)
	}
	udp := body.Data[h.Len:]
	if h.Src.String() != "192.0.2.2" || h.Dst.String() != "10.9.0.2" || h.Protocol != 17 || checksum(body.Data[:h.Len]) != 0 ||
		binary.BigEndian.Uint16(udp) != client.Port() || binary.BigEndian.Uint16(udp[2:]) != dst.Port() {
		t.Errorf("%+v, % x", h, udp)
	}
}
