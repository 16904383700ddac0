package neighbour

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// encode is a route as a system lists it: the header, the address, and a struct
// sockaddr_dl with the interface's name and the hardware address.
func (l layout) encode(index int, addr string, hardware []byte) []byte {
	header := l.header
	if header == 0 {
		header = 96
	}
	b := make([]byte, header)
	if l.header == 0 {
		binary.NativeEndian.PutUint16(b[4:], uint16(header))
	}
	b[2], b[3] = 5, 4 // RTM_VERSION, RTM_GET
	binary.NativeEndian.PutUint16(b[l.index:], uint16(index))
	binary.NativeEndian.PutUint32(b[atAddrs:], hasDst|hasGateway)
	pad := func() {
		for (len(b)-header)%l.align != 0 {
			b = append(b, 0)
		}
	}
	a := netip.MustParseAddr(addr)
	if a.Is4() {
		b = append(b, 16, afInet, 0, 0)
		b = append(append(b, a.AsSlice()...), make([]byte, 8)...)
	} else {
		octets := a.As16()
		if a.IsLinkLocalUnicast() {
			octets[3] = byte(index)
		}
		b = append(b, 28, l.inet6, 0, 0, 0, 0, 0, 0)
		b = append(append(b, octets[:]...), 0, 0, 0, 0)
	}
	pad()
	b = append(b, 20, afLink, byte(index), 0, 6, 3, byte(len(hardware)), 0)
	b = append(append(b, "en0"...), hardware...)
	b = append(b, make([]byte, max(0, 12-3-len(hardware)))...)
	pad()
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	return b
}

// TestRoutes reads lists of the three systems.
func TestRoutes(t *testing.T) {
	hardware := []byte{2, 0, 0x5e, 0x10, 0, 1}
	for system, l := range layouts {
		t.Run(system, func(t *testing.T) {
			var b []byte
			b = append(b, l.encode(4, "192.168.7.20", hardware)...)
			b = append(b, l.encode(4, "192.168.7.21", nil)...) // not reached
			b = append(b, l.encode(4, "192.168.7.255", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})...)
			b = append(b, l.encode(5, "fe80::20", hardware)...)
			b = append(b, l.encode(5, "2001:db8::20", hardware)...)
			b = append(b, l.encode(5, "ff02::1", hardware)...)
			var got []string
			for _, n := range l.parseRoutes(b) {
				got = append(got, fmt.Sprint(n.addr, " ", n.index, " ", n.mac))
			}
			const want = "192.168.7.20 4 02:00:5e:10:00:01\nfe80::20 5 02:00:5e:10:00:01\n2001:db8::20 5 02:00:5e:10:00:01"
			if got := strings.Join(got, "\n"); got != want {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

// FuzzRoutes reads whatever a kernel may write.
func FuzzRoutes(f *testing.F) {
	for _, l := range layouts {
		f.Add(l.encode(4, "192.168.7.20", []byte{2, 0, 0x5e, 0x10, 0, 1}))
		f.Add(l.encode(4, "fe80::1", []byte{2, 0, 0x5e, 0x10, 0, 1}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, l := range layouts {
			for _, n := range l.parseRoutes(b) {
				if !n.addr.IsValid() || n.addr.Zone() != "" || !n.mac.one() {
					t.Errorf("%+v", n)
				}
			}
		}
	})
}
