package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"transom/platform"
)

// datagrams opens a socket that is connected to a. Whether answers come back to a
// client's address can't be seen here: a server of UDP need not answer. So what TCP
// has shown for the client's network holds.
func (d *Direct) datagrams(ctx context.Context, t Target, a netip.AddrPort) (net.Conn, error) {
	if t.From.IsValid() {
		return d.fromUDP(ctx, t.From, a)
	}
	from := d.source(t, a.Addr())
	if !from.IsValid() || !d.Spoof.networks.works(d.Spoof.network(from.Addr())) {
		return d.Host.DialUDP(ctx, platform.Socket{Mark: d.mark(a)}, a)
	}
	c, err := d.fromUDP(ctx, from, a)
	if err != nil && from.Port() != 0 && local(err, from) {
		d.debug("the client's port can't be had; another one is taken", from, a, err)
		c, err = d.fromUDP(ctx, netip.AddrPortFrom(from.Addr(), 0), a)
	}
	if err == nil || ctx.Err() != nil || unreachable(err) {
		return c, err
	}
	d.debug("this host's own address is taken", from, a, err)
	own, ownErr := d.Host.DialUDP(ctx, platform.Socket{Mark: d.mark(a)}, a)
	if ownErr != nil {
		return nil, errors.Join(err, ownErr)
	}
	return own, nil
}

func (d *Direct) fromUDP(ctx context.Context, from, a netip.AddrPort) (net.Conn, error) {
	return d.Host.DialUDP(ctx, platform.Socket{Bind: from, Transparent: true, Require: true, Mark: d.Mark}, a)
}
