package steer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"transom/platform"
)

// A socket towards a server with a client's address, and one towards a client
// with a server's, outlives its process: it may still have something to deliver,
// or wait in TIME_WAIT for what is late. When nothing is diverted to it any more
// it can do neither, and is in the way: the kernel forwards no packet for which
// it finds a socket (ip_forward in net/ipv4/ip_forward.c drops what has one), so
// a client that happens to use the same port again would get no answer for a
// minute. So these sockets get some time, and are destroyed then, with a reset
// where the other side still counts on them.

// How long orphans may take to deliver what they have.
const (
	orphansAtEnd   = 2 * time.Second        // when we end in order
	orphansAtDeath = 200 * time.Millisecond // when we were killed
	orphansPause   = 10 * time.Millisecond
)

// inetDiagSize is the size of struct inet_diag_req_v2, and where the struct
// inet_diag_sockid begins in it.
const (
	diagRequestSize = 56
	diagMessageSize = 72
	diagIDAt        = 8 // in the request
	diagAnswerIDAt  = 4
	diagIDSize      = 48
)

// An orphan is a socket of ours with an address that is not this host's.
type orphan struct {
	family, state byte
	id            [diagIDSize]byte // struct inet_diag_sockid
	local         netip.Addr
	unsent        uint32 // bytes that were not acknowledged
	owned         bool   // by a process that lives
}

// sweepOrphans is for who is about to take back what brings packets to sockets:
// its own, with marks m, if it has steered itself, else those that an earlier run
// has left.
func (r *routes) sweepOrphans(m platform.Marks, ours bool) error {
	patience := orphansAtEnd
	if ours {
		m = m.OrDefault()
	} else {
		var ok bool
		if m, ok = r.leftMarks(); !ok {
			return nil // nothing was diverted
		}
		patience = orphansAtDeath
	}
	return r.sweep(m, patience, !ours)
}

// sweep sees our sockets with foreign addresses to their end, which takes
// patience at most. What a living process has is left alone; with dying it is
// waited for, since the kernel may still be closing what that process had. A
// kernel that can't destroy sockets keeps them for a minute.
func (r *routes) sweep(m platform.Marks, patience time.Duration, dying bool) error {
	if r.sockets == nil {
		return nil
	}
	end := time.Now().Add(patience)
	for {
		last := time.Now().After(end)
		busy, err := r.sweepOnce(m, last, dying)
		if err != nil || !busy || last {
			return err
		}
		<-time.NewTimer(orphansPause).C // nobody tells when a socket has delivered
	}
}

// sweepOnce destroys what has nothing more to deliver, and with now all orphans.
// busy says that there is something to wait for.
func (r *routes) sweepOnce(m platform.Marks, now, dying bool) (busy bool, err error) {
	own, err := r.ownAddresses()
	if err != nil {
		return false, err
	}
	for _, family := range addressFamilies(true) {
		for _, mark := range []uint32{m.Client, m.Upstream} {
			list, err := listSockets(r.sockets, byte(family), mark, m.Mask)
			if err != nil {
				return false, fmt.Errorf("look for sockets that are left: %w", err)
			}
			for i := range list {
				o := &list[i]
				switch {
				case own[o.local] || o.local.IsLoopback() || o.state == stateListen:
				case o.owned:
					busy = busy || dying
				case o.unsent > 0 && !now:
					busy = true
				default:
					if err := destroySocket(r.sockets, o); err != nil {
						return false, err
					}
				}
			}
		}
	}
	return busy, nil
}

func (r *routes) ownAddresses() (map[netip.Addr]bool, error) {
	list, err := again(func() (out []netip.Addr, err error) {
		addrs, err := r.netlink.AddrList(nil, unix.AF_UNSPEC)
		for _, a := range addrs {
			if p, ok := prefix(a.IPNet); ok {
				out = append(out, p.Addr())
			}
		}
		return out, err
	})
	if err != nil {
		return nil, fmt.Errorf("list this host's addresses: %w", err)
	}
	own := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		own[a] = true
	}
	return own, nil
}

// stateListen is TCP_LISTEN of net/tcp_states.h.
const stateListen = 10

// listSockets lists the TCP sockets of a family with a mark (sock_diag(7)).
func listSockets(c *netlink.Conn, family byte, mark, mask uint32) ([]orphan, error) {
	req := make([]byte, diagRequestSize)
	req[0], req[1] = family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], ^uint32(0)) // all states
	answers, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
		Data:   append(req, markFilter(mark, mask)...),
	})
	if errors.Is(err, unix.ENOENT) { // no module for it, so nobody can look
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []orphan
	for _, a := range answers {
		if o, ok := parseSocket(a.Data); ok {
			list = append(list, o)
		}
	}
	return list, nil
}

// markFilter is an attribute INET_DIAG_REQ_BYTECODE with one operation, which is
// followed by its operand; what it does not hold for jumps past the end.
func markFilter(mark, mask uint32) []byte {
	const attrBytecode, opMarkCond, size = 1, 10, 12
	b := binary.NativeEndian.AppendUint16(nil, 4+size)
	b = binary.NativeEndian.AppendUint16(b, attrBytecode)
	b = append(b, opMarkCond, size)
	b = binary.NativeEndian.AppendUint16(b, size+4)
	b = binary.NativeEndian.AppendUint32(b, mark)
	return binary.NativeEndian.AppendUint32(b, mask)
}

// parseSocket reads a struct inet_diag_msg.
func parseSocket(b []byte) (o orphan, ok bool) {
	if len(b) < diagMessageSize {
		return o, false
	}
	o.family, o.state = b[0], b[1]
	copy(o.id[:], b[diagAnswerIDAt:])
	src := o.id[4:20]
	if o.family == unix.AF_INET {
		src = src[:4]
	}
	a, ok := netip.AddrFromSlice(src)
	o.local = a.Unmap()
	o.unsent = binary.NativeEndian.Uint32(b[60:])
	o.owned = binary.NativeEndian.Uint32(b[68:]) != 0
	return o, ok
}

// destroySocket ends a socket, as tcp_abort does. It may have ended by itself.
func destroySocket(c *netlink.Conn, o *orphan) error {
	req := make([]byte, diagRequestSize)
	req[0], req[1] = o.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(req[4:], ^uint32(0))
	copy(req[diagIDAt:], o.id[:])
	_, err := c.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DESTROY, Flags: netlink.Request | netlink.Acknowledge},
		Data:   req,
	})
	if err == nil || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return fmt.Errorf("destroy a socket that is left, of %s: %w", o.local, err)
}

// leftMarks are the marks that the rules which are there go by.
func (r *routes) leftMarks() (m platform.Marks, ok bool) {
	rules, err := r.rules(unix.AF_INET)
	if err != nil {
		return m, false
	}
	for _, x := range rules {
		if x.Priority == prefLookup && x.Mask != nil {
			m, err = platform.MarksOf(*x.Mask)
			return m, err == nil
		}
	}
	return m, false
}
