package steer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform"
)

// Bounds of an exchange: for the first one's question, for that of those that find out
// why it failed, and for the answer. All of it is on this host, and takes no
// millisecond if all is well. With both families, and two more exchanges for each that
// failed, a test takes less than two seconds.
const (
	askedWithin    = 500 * time.Millisecond
	retriedWithin  = 100 * time.Millisecond
	answeredWithin = 150 * time.Millisecond
)

// SelfTest proves that answers to connections from clients' addresses come back to
// this host's own sockets, through all that is in force: it connects, with the
// address that a client could have, to a server that is nowhere, and answers by
// itself. If the answer does not arrive, the error says what is in its way and the
// command that mends it.
//
// It is for after Apply(s), and independent of who put s in force. Clients are the
// networks whose addresses are assumed; from each family one address is tried that is
// not this host's, whose answers come to it anyway. It needs CAP_NET_ADMIN and
// CAP_NET_RAW, and is about the network namespace of the thread that calls it. Nothing
// of it is left, and if the process is killed, Cleanup finds the rest. A steering that
// does not spoof needs no test.
func SelfTest(ctx context.Context, s platform.Steering, clients []netip.Prefix) (err error) {
	t := steeringOf(s)
	if !t.spoofs() || t.Draining {
		return nil
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a routing socket: %w", err)
	}
	defer h.Close()
	assumed, err := impersonated(h, clients)
	if err != nil {
		return fmt.Errorf("test spoofing: %w", err)
	}
	if len(assumed) == 0 {
		return nil
	}
	c, err := layCable(h)
	if err != nil {
		return fmt.Errorf("test spoofing: %w", err)
	}
	defer func() { err = errors.Join(err, c.remove()) }()
	var failures []failure
	for _, client := range assumed {
		server, failed := c.serverFor(client)
		if failed == nil {
			e := &exchange{steering: t, cable: c, client: client, server: netip.AddrPortFrom(server, t.testPort())}
			failed = e.test(ctx)
		}
		if failed != nil {
			failures = append(failures, failure{client.String(), failed})
		}
	}
	return together(failures)
}

// A failure is a client's address and why it can't be assumed.
type failure struct {
	client string
	err    error
}

// together joins failures, and those of both families that are alike to one.
func together(list []failure) error {
	if len(list) == 2 && list[0].err.Error() == list[1].err.Error() {
		list = []failure{{list[0].client + " and " + list[1].client, list[0].err}}
	}
	var errs []error
	for _, f := range list {
		errs = append(errs, fmt.Errorf("test spoofing of %s: %w", f.client, f.err))
	}
	return errors.Join(errs...)
}

// testPort is a port of servers whose connections are captured.
func (t *steering) testPort() uint16 {
	if len(t.Ports) > 0 {
		return t.Ports[0].First
	}
	return 443
}

// impersonated chooses an address of each family that a client could have. There is
// none if the only addresses to assume are this host's own.
func impersonated(h *netlink.Handle, clients []netip.Prefix) ([]netip.Addr, error) {
	list, err := again(func() ([]netlink.Addr, error) { return h.AddrList(nil, unix.AF_UNSPEC) })
	if err != nil {
		return nil, fmt.Errorf("list this host's addresses: %w", err)
	}
	own := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		if p, ok := prefix(a.IPNet); ok {
			own[p.Addr()] = true
		}
	}
	foreign := slices.DeleteFunc(slices.Clone(clients), func(p netip.Prefix) bool { return p.IsSingleIP() && own[p.Addr()] })
	if len(clients) > 0 && len(foreign) == 0 {
		return nil, nil
	}
	v4, v6 := families(foreign)
	if !own[netip.IPv6Loopback()] {
		v6 = nil // this host does without, and so does the steering
	}
	var out []netip.Addr
	for _, networks := range [][]netip.Prefix{v4, v6} {
		for _, p := range networks {
			if a := oneOf(p, own); a.IsValid() {
				out = append(out, a)
				break
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no client can have an address in %v that is not this host's; name the clients' networks", clients)
	}
	return out, nil
}

// oneOf finds an address in a network that is nobody's of this host; invalid if the
// first few all are.
func oneOf(p netip.Prefix, own map[netip.Addr]bool) netip.Addr {
	a := p.Masked().Addr()
	if private := netip.AddrFrom4([4]byte{10}); a.IsUnspecified() && p.Contains(private) {
		a = private // the network of all addresses begins with some that are nobody's
	} else if private := netip.AddrFrom16([16]byte{0: 0xfd}); a.IsUnspecified() && p.Contains(private) {
		a = private
	}
	if p.Bits() < p.Addr().BitLen()-1 {
		a = a.Next() // past the network's own
	}
	for range 256 {
		if !p.Contains(a) {
			break
		}
		if !own[a] && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() {
			return a
		}
		a = a.Next()
	}
	return netip.Addr{}
}

// An exchange is one attempt to connect, and its answer.
type exchange struct {
	*steering
	*cable
	client netip.Addr
	server netip.AddrPort
}

// test connects, and finds out why if that fails.
func (e *exchange) test(ctx context.Context) error {
	_, err := e.connect(ctx, askedWithin)
	if !lost(err) || ctx.Err() != nil {
		return err
	}
	p, denied := e.openProbes()
	if denied != nil {
		return fmt.Errorf("%w, and where it was lost can't be seen: %w", err, denied)
	}
	defer func() { _ = p.close() }() // the table goes with its owner, or with Cleanup
	asked, err := e.connect(ctx, retriedWithin)
	if !lost(err) || ctx.Err() != nil {
		return err
	}
	if denied := p.read(); denied != nil {
		return fmt.Errorf("%w, and where it was lost can't be seen: %w", err, denied)
	}
	f := e.explain(ctx, p, asked)
	return fmt.Errorf("%w: %s; to mend it: %s", err, f.what, f.mend)
}

// lost reports whether a packet was dropped or refused on its way.
func lost(err error) bool {
	return errors.Is(err, errNoAnswer) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH)
}

// errNoAnswer is for an answer that was sent and did not arrive.
var errNoAnswer = errors.New("no answer arrives")

// connect connects from the client's address to the server, and answers as the
// server would. asked reports whether the server saw the question.
func (e *exchange) connect(ctx context.Context, within time.Duration) (asked bool, err error) {
	wire, err := e.listen()
	if err != nil {
		return false, err
	}
	defer unix.Close(wire)
	conn, err := e.dial()
	if err != nil {
		return false, err
	}
	defer unix.Close(conn)
	deadline := time.Now().Add(within)
	for {
		poll := []unix.PollFd{{Fd: int32(conn), Events: unix.POLLOUT}, {Fd: int32(wire), Events: unix.POLLIN}}
		const slice = 20 // milliseconds: then the context is looked at
		if _, err := unix.Poll(poll, slice); err != nil && !errors.Is(err, unix.EINTR) {
			return asked, fmt.Errorf("wait for an answer: %w", err)
		}
		if poll[0].Revents != 0 {
			return asked, e.outcome(conn)
		}
		if poll[1].Revents != 0 && e.answer(wire) && !asked {
			asked, deadline = true, time.Now().Add(answeredWithin)
		}
		switch {
		case ctx.Err() != nil:
			return asked, context.Cause(ctx)
		case time.Now().After(deadline):
			return asked, errNoAnswer
		}
	}
}

// dial begins a connection as a proxy would, but by the near device only: whatever
// other routes there are, it goes nowhere else.
func (e *exchange) dial() (fd int, err error) {
	family := unix.AF_INET
	if e.client.Is6() {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	defer func() {
		if err != nil {
			unix.Close(fd)
		}
	}()
	if err := unix.BindToDevice(fd, cableNear); err != nil {
		return -1, fmt.Errorf("bind a socket to %s: %w", cableNear, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(e.marks.Upstream)); err != nil {
		return -1, fmt.Errorf("set SO_MARK (needs CAP_NET_ADMIN or CAP_NET_RAW): %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1); err != nil { // for IPv6 the same flag
		return -1, fmt.Errorf("set IP_TRANSPARENT (needs CAP_NET_ADMIN or CAP_NET_RAW): %w", err)
	}
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(e.client, 0))); err != nil {
		return -1, fmt.Errorf("bind a socket to %s: %w", e.client, err)
	}
	// A connection that was made ends without waiting.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return -1, fmt.Errorf("set SO_LINGER: %w", err)
	}
	if err := unix.Connect(fd, sockaddr(e.server)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return -1, fmt.Errorf("connect from %s to %s by %s: %w", e.client, e.server, cableNear, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// outcome is how a connection attempt ended.
func (e *exchange) outcome(fd int) error {
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	if err != nil {
		return fmt.Errorf("connect from %s to %s by %s: %w", e.client, e.server, cableNear, err)
	}
	return nil
}

// listen opens what sees the packets at the far end of the cable.
func (e *exchange) listen() (fd int, err error) {
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a packet socket (needs CAP_NET_RAW): %w", err)
	}
	// The device may not be ready to queue yet, which is not waited for.
	_ = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	a := &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16(networkOrder(e.etherType())), Ifindex: e.far.Attrs().Index}
	if err := unix.Bind(fd, a); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind a packet socket to %s: %w", cableFar, err)
	}
	return fd, nil
}

func (e *exchange) etherType() uint16 {
	if e.client.Is6() {
		return unix.ETH_P_IPV6
	}
	return unix.ETH_P_IP
}

// answer reads what has come to the server and accepts a connection. It reports
// whether that is ours.
//
// The answer can make one hop. It is for this host, or for nobody: if what should
// divert it is missing, it is not forwarded to the client whose address it is for.
func (e *exchange) answer(fd int) (asked bool) {
	const header = 14
	var buf [2048]byte
	for {
		n, from, err := unix.Recvfrom(fd, buf[:], 0)
		if err != nil {
			return asked // EAGAIN: that was all
		}
		if l, ok := from.(*unix.SockaddrLinklayer); !ok || l.Pkttype == unix.PACKET_OUTGOING || n < header {
			continue
		}
		syn, ok := parseSegment(buf[header:n])
		if !ok || syn.flags&(flagSYN|flagACK) != flagSYN || syn.dst != e.server {
			continue
		}
		asked = true
		frame := slices.Concat(macNear[:], macFar[:], networkOrder(e.etherType()), syn.accepted().packet(1))
		_, _ = unix.Write(fd, frame) // if it is lost, the question comes again
	}
}

func networkOrder(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
