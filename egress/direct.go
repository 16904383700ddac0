package egress

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"transom/platform"
)

// Direct dials servers straight from this host.
type Direct struct {
	Host    platform.Sockets
	Timeout time.Duration // for one Dial, names resolved and all addresses tried; 0 is none
	Mark    uint32        // SO_MARK of the sockets; 0 sets none

	// Spoof, unless it is nil or none, gives connections for a captured client
	// (Target.Client) its address, where the server's is of the same family. This
	// host's own is taken where that fails before the server was reached, or where
	// its answer does not come back to us; for a whole network, if that goes on.
	// The connection's local address tells.
	Spoof *Spoof
	Own   platform.Addresses // whose addresses are not assumed; nil knows none
	Log   *slog.Logger       // default: silence

	// Refuse, if set, is asked about each address before it is dialled, names
	// resolved; its error ends the attempt. It keeps us from dialling ourselves.
	Refuse func(netip.AddrPort) error

	Resolver Resolver // of names; nil is the system's
}

// A Resolver finds the addresses of names, as net.Resolver does: network is
// "ip", "ip4" or "ip6".
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Dialer = (*Direct)(nil)

// Dial implements Dialer.
func (d *Direct) Dial(ctx context.Context, t Target) (net.Conn, error) {
	if d.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.Timeout)
		defer cancel()
	}
	if t.Addr.Addr().IsValid() {
		return d.dial(ctx, t, t.Addr)
	}
	addrs, err := d.resolve(ctx, t.Host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for i, a := range addrs {
		c, err := d.attempt(ctx, t, netip.AddrPortFrom(a, t.Addr.Port()), len(addrs)-i)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// attempt dials one address of several, in its share of the time that is left.
func (d *Direct) attempt(ctx context.Context, t Target, a netip.AddrPort, left int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(time.Until(end)/time.Duration(left), time.Second))
		defer cancel()
	}
	return d.dial(ctx, t, a)
}

func (d *Direct) dial(ctx context.Context, t Target, a netip.AddrPort) (net.Conn, error) {
	if d.Refuse != nil {
		if err := d.Refuse(a); err != nil {
			return nil, err
		}
	}
	if t.Far {
		if err := refuseNear(a); err != nil {
			return nil, err
		}
	}
	if t.Network == "udp" {
		return d.datagrams(ctx, t, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	}
	if t.From.IsValid() {
		return d.Host.Dial(ctx, platform.Socket{Bind: t.From, Transparent: true, Mark: d.Mark}, a)
	}
	if from := d.source(t, a.Addr()); from.IsValid() {
		return d.assume(ctx, from, netip.AddrPortFrom(a.Addr().Unmap(), a.Port()))
	}
	return d.plain(ctx, a)
}

func (d *Direct) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a.Unmap()}, nil
	}
	r := d.Resolver
	if r == nil {
		r = net.DefaultResolver
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %s: it has no address", host)
	}
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, nil
}
