package testnet

import (
	"context"
	"net/netip"
	"syscall"
	"time"
)

// A fate is what becomes of attempts to connect somewhere.
type fate struct {
	delay time.Duration
	errno syscall.Errno
	hole  bool
}

// Fail makes attempts to connect to addr fail with errno: EHOSTUNREACH,
// ETIMEDOUT and so on. With port 0 it holds for all ports of the address, as it
// does for BlackHole and Delay.
func (n *Net) Fail(addr netip.AddrPort, errno syscall.Errno) {
	n.change(n.fates, addr, func(f *fate) { f.errno = errno })
}

// BlackHole makes attempts to connect to addr hang until their context ends.
func (n *Net) BlackHole(addr netip.AddrPort) {
	n.change(n.fates, addr, func(f *fate) { f.hole = true })
}

// Delay makes attempts to connect to addr take d before they succeed or fail.
func (n *Net) Delay(addr netip.AddrPort, d time.Duration) {
	n.change(n.fates, addr, func(f *fate) { f.delay = d })
}

// FailFrom makes attempts to connect from addr, if that was asked for, fail with
// errno wherever they go. With port 0 it holds for the ports of the address that
// have no fate of their own, as it does for BlackHoleFrom and DelayFrom.
func (n *Net) FailFrom(addr netip.AddrPort, errno syscall.Errno) {
	n.change(n.sources, addr, func(f *fate) { f.errno = errno })
}

// BlackHoleFrom makes attempts to connect from addr hang until their context
// ends: what is sent to it does not arrive.
func (n *Net) BlackHoleFrom(addr netip.AddrPort) {
	n.change(n.sources, addr, func(f *fate) { f.hole = true })
}

// DelayFrom makes attempts to connect from addr take d before they succeed or
// fail.
func (n *Net) DelayFrom(addr netip.AddrPort, d time.Duration) {
	n.change(n.sources, addr, func(f *fate) { f.delay = d })
}

// Mend takes back what was said of attempts to connect to or from addr.
func (n *Net) Mend(addr netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.fates, addr)
	delete(n.sources, addr)
}

func (n *Net) change(fates map[netip.AddrPort]fate, addr netip.AddrPort, how func(*fate)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := fates[addr]
	how(&f)
	fates[addr] = f
}

// at returns what becomes of an attempt: first by where it comes from, then by
// where it goes to, and who waits there.
func (n *Net) at(from, to netip.AddrPort) ([2]fate, func(*Conn) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return [2]fate{lookup(n.sources, from), lookup(n.fates, to)}, n.accept[to]
}

// lookup finds the fate of a port, or that of all ports of its address.
func lookup(fates map[netip.AddrPort]fate, addr netip.AddrPort) fate {
	f, ok := fates[addr]
	if !ok {
		f = fates[netip.AddrPortFrom(addr.Addr(), 0)]
	}
	return f
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
