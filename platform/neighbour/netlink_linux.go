package neighbour

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tells is whether the kernel tells what changes.
const tells = true

// A kernel tells of its neighbours. Its sockets need no right, and are opened before a
// process gives up that of opening them.
type kernel struct {
	changes *netlink.Conn // member of the group; its closing ends next
	query   *netlink.Conn
}

// openKernel subscribes first, so that nothing is missed between a list and the news.
func openKernel() (*kernel, error) {
	changes, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: 1 << (unix.RTNLGRP_NEIGH - 1)})
	if err != nil {
		return nil, fmt.Errorf("watch the kernel's table of neighbours: %w", err)
	}
	query, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		changes.Close()
		return nil, fmt.Errorf("list the kernel's table of neighbours: %w", err)
	}
	return &kernel{changes: changes, query: query}, nil
}

// Close ends next.
func (k *kernel) Close() error { return errors.Join(k.changes.Close(), k.query.Close()) }

// list returns the whole table. One that changed while it was read is good enough: the
// changes are news.
func (k *kernel) list() ([]news, error) {
	ms, err := k.query.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNEIGH, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofNdMsg), // all zero: every family and interface
	})
	if err != nil {
		return nil, fmt.Errorf("list the kernel's table of neighbours: %w", err)
	}
	return parseAll(ms), nil
}

// next waits for news. lost says that some did not fit in the socket.
func (k *kernel) next() (_ []news, lost bool, err error) {
	ms, err := k.changes.Receive()
	if errors.Is(err, unix.ENOBUFS) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("watch the kernel's table of neighbours: %w", err)
	}
	return parseAll(ms), false, nil
}

func parseAll(ms []netlink.Message) []news {
	var all []news
	for _, m := range ms {
		if n, ok := parse(m.Header.Type, m.Data); ok && len(all) < addressesMost {
			all = append(all, n)
		}
	}
	return all
}

// Where things are in struct ndmsg.
const (
	atFamily = 0
	atIndex  = 4
	atState  = 8
	atFlags  = 10
)

// parse reads RTM_NEWNEIGH and RTM_DELNEIGH of IPv4 and IPv6. Bridges' tables, which come
// by the same messages, have another family.
func parse(kind netlink.HeaderType, b []byte) (n news, ok bool) {
	if kind != unix.RTM_NEWNEIGH && kind != unix.RTM_DELNEIGH || len(b) < unix.SizeofNdMsg {
		return n, false
	}
	if b[atFamily] != unix.AF_INET && b[atFamily] != unix.AF_INET6 || b[atFlags]&unix.NTF_PROXY != 0 {
		return n, false
	}
	ad, err := netlink.NewAttributeDecoder(b[unix.SizeofNdMsg:])
	if err != nil {
		return n, false
	}
	var whole bool
	for ad.Next() {
		switch ad.Type() {
		case unix.NDA_DST:
			n.addr, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.NDA_LLADDR:
			n.mac, whole = macOf(ad.Bytes())
		}
	}
	if ad.Err() != nil || !n.addr.IsValid() || n.addr.IsMulticast() {
		return n, false
	}
	n.addr = plain(n.addr)
	n.index = int(int32(binary.NativeEndian.Uint32(b[atIndex:])))
	state := binary.NativeEndian.Uint16(b[atState:])
	switch {
	case kind == unix.RTM_DELNEIGH || state&unix.NUD_FAILED != 0:
		n.gone, n.mac = true, mac{}
		return n, true
	case state&unix.NUD_NOARP != 0 || !whole: // groups and what is on no Ethernet; not reached yet
		return n, false
	}
	n.sure = state&(unix.NUD_REACHABLE|unix.NUD_PERMANENT|unix.NUD_DELAY|unix.NUD_PROBE) != 0
	return n, true
}
