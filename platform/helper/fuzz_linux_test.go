package helper

import (
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// FuzzHandle sends a server any message with any descriptors. Whatever it makes of
// them, it keeps none, answers at most once but for log lines, and every socket that
// has become transparent is bound within the charter, for good.
func FuzzHandle(f *testing.F) {
	privileged(f)
	for _, a := range []string{"198.51.100.7:0", "203.0.113.9:0", "[2001:db8:1::7]:0", "192.0.2.1:80"} {
		addr := netip.MustParseAddrPort(a)
		f.Add(bytesOf(request{kind: askPrepare, id: 7, addr: addr}), byte(1), byte(0))
		f.Add(bytesOf(request{kind: askPrepare, id: 7, addr: addr}), byte(2), byte(0))
		f.Add(bytesOf(request{kind: askPrepare, id: 7, addr: addr}), byte(1), byte(2))
		f.Add(bytesOf(request{kind: askListen, id: 7, addr: addr}), byte(0), byte(0))
	}
	for _, a := range []string{"192.0.2.53:53", "[2001:db8:9::53]:53", "198.51.100.7:53"} {
		peer := netip.MustParseAddrPort("198.51.100.7:4000")
		f.Add(bytesOf(request{kind: askAnswer, id: 7, addr: netip.MustParseAddrPort(a), peer: peer}), byte(3), byte(0))
		f.Add(bytesOf(request{kind: askHear, id: 7, addr: netip.MustParseAddrPort(a)}), byte(0), byte(0))
	}
	f.Add(bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:0")}), byte(3), byte(0))
	for k := range sayPong + 2 {
		f.Add(bytesOf(request{kind: k, id: 7, state: on}), byte(0), byte(0))
		f.Add(bytesOf(request{kind: k, id: 7}), byte(3), byte(4))
	}
	c := datagrams()
	foe := newFoe(f, c)
	f.Fuzz(func(t *testing.T, b []byte, first, second byte) {
		if len(b) == 0 {
			return // that is the end
		}
		fds := passed(t, first, second)
		before := descriptors(t)
		foe.send(t, b, fds...)
		if answers, _ := foe.heard(t); len(answers) > 1 {
			t.Errorf("%d answers", len(answers))
		}
		if after := descriptors(t); after != before {
			t.Errorf("%d descriptors, %d before", after, before)
		}
		for _, fd := range fds {
			within(t, fd, &c)
		}
	})
}

// passed makes up to two descriptors.
func passed(t *testing.T, kinds ...byte) (fds []int) {
	for _, k := range kinds {
		switch k % 8 {
		case 1:
			fds = append(fds, fresh4(t))
		case 2:
			fds = append(fds, socket(t, unix.AF_INET6, unix.SOCK_STREAM, 0))
		case 3:
			fds = append(fds, socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0))
		case 4:
			fds = append(fds, bound(t, "127.0.0.1:0"))
		case 5:
			fds = append(fds, connected(t))
		case 6:
			fds = append(fds, socket(t, unix.AF_UNIX, unix.SOCK_SEQPACKET, 0))
		}
	}
	return fds
}

// within fails for a socket that is transparent and not within the charter.
func within(t *testing.T, fd int, c *Charter) {
	if is, err := unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT); err != nil || is == 0 {
		return
	}
	a, err := unix.Getsockname(fd)
	must(t, err)
	var at netip.AddrPort
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		at = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		at = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	if at.Port() == 0 {
		t.Errorf("%s is bound to no port", at)
	}
	own := func(netip.Addr) bool { return false }
	if kind, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); kind == unix.SOCK_DGRAM {
		if mark, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK); uint32(mark) == c.marks().Client {
			if err := c.allowsAnswer(netip.MustParseAddrPort("198.51.100.7:4000"), at, own); err != nil {
				t.Error(err) // the peer is the packet filter's
			}
			return
		}
	}
	anyPort := netip.AddrPortFrom(at.Addr(), 0)
	if err := c.allowsSource(anyPort, own); err != nil {
		t.Error(err)
	}
}

func FuzzParseOccupant(f *testing.F) {
	name := "\x00" + lockName[1:]
	made := func(state byte, attrs ...netlink.Attribute) []byte {
		b, err := netlink.MarshalAttributes(attrs)
		if err != nil {
			f.Fatal(err)
		}
		return append([]byte{unix.AF_UNIX, unix.SOCK_STREAM, state, 15: 0}, b...)
	}
	uid := netlink.Attribute{Type: 7, Data: []byte{232, 3, 0, 0}}
	f.Add(made(10, netlink.Attribute{Type: 0, Data: []byte(name)}, uid))
	f.Add(made(7, uid, netlink.Attribute{Type: 0, Data: []byte(name)}))
	f.Add(made(1, netlink.Attribute{Type: 0, Data: []byte(name)})[:18])
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, ok := parseOccupant(b, name); ok && (o.pid != 0 || o.listening != (b[2] == 10)) {
			t.Errorf("%+v of %x", o, b)
		}
	})
}
