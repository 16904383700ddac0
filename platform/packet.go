package platform

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A PacketConn is a connected UDP socket. Each Read and each Write is one
// datagram. One goroutine at a time may read.
type PacketConn struct {
	*net.UDPConn
	raw syscall.RawConn

	// Of the read under way; try is receive, as a value that is made once.
	try  func(fd uintptr) bool
	pool *sync.Pool
	buf  *Packet
	n    int
	err  error
	from sender
}

// NewPacketConn returns c with ReadPooled. It takes c over.
func NewPacketConn(c *net.UDPConn) (*PacketConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &PacketConn{UDPConn: c, raw: raw}
	p.try = p.receive
	return p, nil
}

// ReadPooled reads one datagram, of n bytes, into a buffer of pool, which holds
// *Packet. The caller puts it back. While nothing comes there is no buffer: many
// conversations are silent for most of their time.
func (p *PacketConn) ReadPooled(pool *sync.Pool) (buf *Packet, n int, err error) {
	p.pool, p.n, p.err = pool, 0, nil
	if err := p.raw.Read(p.try); err != nil {
		return nil, 0, err
	}
	buf, p.buf = p.buf, nil
	if p.err != nil {
		return nil, 0, p.fail(p.err)
	}
	return buf, p.n, nil
}

// receive reports whether there was something to receive.
func (p *PacketConn) receive(fd uintptr) bool {
	buf := p.pool.Get().(*Packet)
	for {
		p.n, p.err = p.from.receive(int(fd), buf[:])
		if !errors.Is(p.err, unix.EINTR) {
			break
		}
	}
	if p.err != nil {
		p.pool.Put(buf)
		return !errors.Is(p.err, unix.EAGAIN)
	}
	p.buf = buf
	return true
}

// Sender returns whom the datagram of the last ReadPooled came from; it is not valid
// where the system was not asked. It need not be who the socket is connected to: what
// came before that, or while it was made, may be anybody's.
func (p *PacketConn) Sender() netip.AddrPort { return p.from.addr() }

// fail says what package net would.
func (p *PacketConn) fail(err error) error {
	return &net.OpError{Op: "read", Net: "udp", Source: p.LocalAddr(), Addr: p.RemoteAddr(), Err: err}
}
