package helper

import (
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// datagrams is narrow with UDP.
func datagrams() Charter {
	c := narrow()
	c.Steering.UDPPorts = []platform.PortRange{{First: 53, Last: 53}, {First: 5000, Last: 5010}}
	c.Hear = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	c.Answers = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/64")}
	return c
}

func udp4(t testing.TB) int { return socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0) }

func answering(client, dst string) request {
	return request{kind: askAnswer, id: 7, addr: netip.MustParseAddrPort(dst), peer: netip.MustParseAddrPort(client)}
}

// TestAnswersOutsideTheCharter asks for each end as it may not be.
func TestAnswersOutsideTheCharter(t *testing.T) {
	privileged(t)
	const client, dst = "198.51.100.7:4000", "192.0.2.53:53"
	good := answering(client, dst)
	for name, tt := range map[string]struct {
		r  request
		fd func(testing.TB) int
		c  Charter
	}{
		"client-elsewhere":    {answering("198.51.101.7:4000", dst), udp4, datagrams()},
		"client-mapped":       {answering("[::ffff:198.51.101.7]:4000", dst), udp4, datagrams()},
		"client-loopback":     {answering("127.0.0.1:4000", dst), udp4, datagrams()},
		"client-without-port": {answering("198.51.100.7:0", dst), udp4, datagrams()},
		"client-link-local":   {answering("[fe80::1]:4000", "[2001:db8:9::53]:53"), udp4, datagrams()},
		"from-this-host":      {answering(client, "127.0.0.1:53"), udp4, datagrams()},
		"from-everywhere":     {answering(client, "0.0.0.0:53"), udp4, datagrams()},
		"from-a-group":        {answering(client, "224.0.0.251:53"), udp4, datagrams()},
		"from-broadcast":      {answering(client, "255.255.255.255:53"), udp4, datagrams()},
		"from-another-port":   {answering(client, "192.0.2.53:54"), udp4, datagrams()},
		"from-no-port":        {answering(client, "192.0.2.53:0"), udp4, datagrams()},
		"tcp":                 {good, fresh4, datagrams()},
		"unix":                {good, func(t testing.TB) int { return socket(t, unix.AF_UNIX, unix.SOCK_DGRAM, 0) }, datagrams()},
		"bound": {good, func(t testing.TB) int {
			fd := udp4(t)
			must(t, unix.Bind(fd, sockaddr(false, netip.MustParseAddrPort("127.0.0.1:0"))))
			return fd
		}, datagrams()},
		"connected": {good, func(t testing.TB) int {
			fd := udp4(t)
			must(t, unix.Connect(fd, sockaddr(false, netip.MustParseAddrPort("127.0.0.1:9"))))
			return fd
		}, datagrams()},
		"without-datagrams":         {good, udp4, narrow()},
		"prepare-without-datagrams": {request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:0")}, udp4, narrow()},
		"without-peer":              {request{kind: askAnswer, id: 7, addr: netip.MustParseAddrPort(dst)}, udp4, datagrams()},
		"without-address":           {request{kind: askAnswer, id: 7, peer: netip.MustParseAddrPort(client)}, udp4, datagrams()},
		"prepare-with-peer":         {request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:0"), peer: good.peer}, udp4, datagrams()},
		"hear-elsewhere":            {request{kind: askHear, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:53")}, nil, datagrams()},
		"hear-without-datagrams":    {request{kind: askHear, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:0")}, nil, narrow()},
		"hear-and-descriptor":       {request{kind: askHear, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:0")}, udp4, datagrams()},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFoe(t, tt.c)
			var fds []int
			if tt.fd != nil {
				fds = append(fds, tt.fd(t))
			}
			before := descriptors(t)
			f.send(t, bytesOf(tt.r), fds...)
			f.wantRefused(t)
			for _, fd := range fds {
				if is, err := unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT); err == nil && is != 0 {
					t.Error("the socket was made transparent")
				}
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
}

func TestAnswersInsideTheCharter(t *testing.T) {
	privileged(t)
	f := newFoe(t, datagrams())
	for _, tt := range []struct{ client, dst string }{
		{"198.51.100.7:4000", "192.0.2.53:53"},
		{"198.51.100.8:4000", "192.0.2.53:53"}, // the same destination for another client
		{"198.51.100.7:4000", "198.51.100.9:5010"},
	} {
		fd := udp4(t)
		f.send(t, bytesOf(answering(tt.client, tt.dst)), fd)
		answers, log := f.heard(t)
		if len(answers) == 1 && syscall.Errno(answers[0].errno) == unix.ENETUNREACH {
			continue // a namespace without routes: it is bound all the same
		}
		if len(answers) != 1 || answers[0].errno != 0 || log != "" {
			t.Fatalf("%v: %v, %s", tt, answers, log)
		}
		if a, err := unix.Getsockname(fd); err != nil || addressOf(a) != netip.MustParseAddrPort(tt.dst) {
			t.Errorf("bound to %v, %v", a, err)
		}
		if a, err := unix.Getpeername(fd); err != nil || addressOf(a) != netip.MustParseAddrPort(tt.client) {
			t.Errorf("connected to %v, %v", a, err)
		}
		if mark, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK); err != nil || uint32(mark) != platform.DefaultMarks().Client {
			t.Errorf("marked %#x, %v", mark, err)
		}
	}
	fd := udp4(t)
	f.send(t, bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:0")}), fd)
	if answers, log := f.heard(t); len(answers) != 1 || answers[0].errno != 0 || log != "" {
		t.Errorf("a socket towards a server: %v, %s", answers, log)
	}
	f.send(t, bytesOf(request{kind: askHear, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:0")}))
	if answers, log := f.heard(t); len(answers) != 1 || answers[0].errno != 0 || log != "" {
		t.Errorf("a listener: %v, %s", answers, log)
	}
}

func addressOf(a unix.Sockaddr) netip.AddrPort {
	if a, ok := a.(*unix.SockaddrInet4); ok {
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}
