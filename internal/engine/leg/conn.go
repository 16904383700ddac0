package leg

import (
	"net"
	"net/netip"
)

// AddrPort returns the address of TCP or UDP as a value, never v4-mapped; the zero
// AddrPort if a is something else.
func AddrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	default:
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Join returns c with prefix in front of what is still to be read from it.
// Without a prefix it is c itself. A joined conn keeps CloseWrite and NetConn, so
// that endings still reach the socket.
func Join(c net.Conn, prefix []byte) net.Conn {
	if len(prefix) == 0 {
		return c
	}
	return &joined{Conn: c, prefix: prefix}
}

type joined struct {
	net.Conn
	prefix []byte
}

func (j *joined) Read(p []byte) (int, error) {
	if len(j.prefix) > 0 {
		n := copy(p, j.prefix)
		j.prefix = j.prefix[n:]
		return n, nil
	}
	return j.Conn.Read(p)
}

func (j *joined) CloseWrite() error { return CloseWrite(j.Conn) }

func (j *joined) Truncate() error { return Truncate(j.Conn) }

// NetConn returns the conn below.
func (j *joined) NetConn() net.Conn { return j.Conn }
