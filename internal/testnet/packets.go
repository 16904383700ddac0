package testnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// packetsMost is how many datagrams wait to be read at one end; more are lost.
const packetsMost = 1024

// Packets is one end of a UDP conversation in memory: each Read and each Write is one
// datagram. Who writes to an end that is closed gets ECONNREFUSED from the next Read,
// as of an ICMP error.
type Packets struct {
	mu            *sync.Mutex
	cond          *sync.Cond
	local, remote netip.AddrPort
	peer          *Packets
	in            [][]byte
	closed        bool
	refused       bool // the peer is closed, and was written to
	hole          bool // what is written gets nowhere
	read          deadline
}

var _ net.Conn = (*Packets)(nil)

// PacketPipe returns the two ends of a conversation.
func PacketPipe(client, server netip.AddrPort) (a, b *Packets) {
	mu := new(sync.Mutex)
	cond := sync.NewCond(mu)
	a = &Packets{mu: mu, cond: cond, local: client, remote: server}
	b = &Packets{mu: mu, cond: cond, local: server, remote: client}
	a.peer, b.peer = b, a
	return a, b
}

// Read implements net.Conn.
func (p *Packets) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return 0, p.fail("read", net.ErrClosed)
		case p.read.expired:
			return 0, p.fail("read", os.ErrDeadlineExceeded)
		case len(p.in) > 0:
			n := copy(b, p.in[0])
			p.in = p.in[1:]
			return n, nil
		case p.refused:
			p.refused = false
			return 0, p.fail("read", os.NewSyscallError("read", syscall.ECONNREFUSED))
		}
		p.cond.Wait()
	}
}

// Write implements net.Conn.
func (p *Packets) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, p.fail("write", net.ErrClosed)
	case p.hole:
	case p.peer.closed:
		p.refused = true
	case len(p.peer.in) < packetsMost:
		p.peer.in = append(p.peer.in, append([]byte(nil), b...))
	}
	p.cond.Broadcast()
	return len(b), nil
}

// Close implements net.Conn.
func (p *Packets) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
	return nil
}

// SetDeadline implements net.Conn: it is for reading, since writing does not wait.
func (p *Packets) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (p *Packets) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read.setLocked(t, p.mu, p.cond)
	return nil
}

// SetWriteDeadline implements net.Conn.
func (p *Packets) SetWriteDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (p *Packets) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.local) }

// RemoteAddr implements net.Conn.
func (p *Packets) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(p.remote) }

func (p *Packets) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Source: p.LocalAddr(), Addr: p.RemoteAddr(), Err: err}
}
