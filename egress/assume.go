package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"transom/platform"
)

// Dialling with an address that is not ours:
//
//  1. from the client's address and port;
//  2. if this host can't have that port now, from a port of the kernel's choice;
//  3. if it can't have the address, from its own.
//
// That much is known at once. Whether the server's answer finds its way back to
// us is not: so if there is none after a pause, an ordinary dial is started
// beside, and the first of the two that gets an answer wins. A refusal is one. What
// was seen is remembered for the client's network, see networks.go.

// How long a server has to answer the client's address before it is asked with
// ours: enough for a SYN that was lost to be sent again, after a second; and for
// more of them where there is a way back, since the server or this host must be
// busy then.
const (
	pause    = 1200 * time.Millisecond
	patience = 5 * time.Second
)

// errSilent is how a dial ends that the other one has overtaken.
var errSilent = errors.New("no answer came back")

// assume dials a from another address, and from ours where that does not work.
func (d *Direct) assume(ctx context.Context, from, a netip.AddrPort) (net.Conn, error) {
	n := d.Spoof.network(from.Addr())
	if !d.Spoof.networks.begin(n, time.Now()) {
		return d.plain(ctx, a)
	}
	c, saw, err := d.race(ctx, n, from, a)
	d.tell(d.Spoof.networks.end(n, a.Addr(), saw.trial, time.Now()), n, a, saw)
	return c, err
}

// A sight is what a race has shown, and the error that did.
type sight struct {
	trial trial
	err   error
}

// A dialled connection, or why there is none.
type dialled struct {
	c   net.Conn
	err error
}

// race waits for all that it has started.
func (d *Direct) race(ctx context.Context, n netip.Prefix, from, a netip.AddrPort) (net.Conn, sight, error) {
	first, overtake := context.WithCancelCause(ctx)
	defer overtake(nil)
	second, giveUp := context.WithCancel(ctx)
	defer giveUp()
	failed := make(chan struct{})   // closed when the first one has
	beside := make(chan dialled, 1) // filled once, if the timer fires
	timer := time.AfterFunc(pause, func() {
		if d.Spoof.networks.cameBack(n, time.Now()) {
			wait(second, failed, patience-pause)
		}
		c, err := d.plain(second, a)
		if answered(err) {
			overtake(errSilent)
		}
		beside <- dialled{c, err}
	})
	c, err := d.ladder(first, from, a)
	alone := timer.Stop()
	var other dialled
	switch {
	case answered(err):
		if giveUp(); !alone {
			reset((<-beside).c)
		}
		return c, sight{trial: cameBack}, err
	case !alone:
		close(failed)
		other = <-beside
	case ctx.Err() != nil:
		return nil, sight{}, err
	default:
		d.debug("this host's own address is taken", from, a, err)
		other.c, other.err = d.plain(second, a)
	}
	if context.Cause(first) == errSilent {
		err = errSilent // net would say that it was cancelled
	}
	return other.c, sight{judge(err, other.err), err}, other.err
}

// wait waits for one of the three.
func wait(ctx context.Context, failed <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-failed:
	case <-ctx.Done():
	}
}

// judge says what it means that the spoofed dial failed with err, and the
// ordinary one ended with other.
func judge(err, other error) trial {
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, platform.ErrUnsupported):
		return forbidden
	case answered(other) && (errors.Is(err, errSilent) || errors.Is(err, syscall.ETIMEDOUT) || unreachable(err)):
		return silence
	}
	return unclear
}

// ladder dials from the client's port, or if it can't be had from another one.
func (d *Direct) ladder(ctx context.Context, from, a netip.AddrPort) (net.Conn, error) {
	c, err := d.from(ctx, from, a)
	if from.Port() == 0 || ctx.Err() != nil || answered(err) || !local(err, from) {
		return c, err
	}
	d.debug("the client's port can't be had; another one is taken", from, a, err)
	return d.from(ctx, netip.AddrPortFrom(from.Addr(), 0), a)
}

func (d *Direct) from(ctx context.Context, from, a netip.AddrPort) (net.Conn, error) {
	return d.Host.Dial(ctx, platform.Socket{Bind: from, Transparent: true, Require: true, Mark: d.Mark}, a)
}

func (d *Direct) plain(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	return d.Host.Dial(ctx, platform.Socket{Mark: d.mark(a)}, a)
}

// mark is Mark, but for a link-local address none: firewalls let the mark pass, and
// what has it is kept from there (see package steer). What this host says about
// it holds for us.
func (d *Direct) mark(a netip.AddrPort) uint32 {
	if a.Addr().Unmap().IsLinkLocalUnicast() {
		return 0
	}
	return d.Mark
}

// answered reports whether a dial that ended with err had an answer of the
// server's.
func answered(err error) bool { return err == nil || errors.Is(err, syscall.ECONNREFUSED) }

// unreachable reports whether a router, or this host, has said that there is no
// way. EACCES is what IPv6 makes of a way that is forbidden.
func unreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EACCES)
}

// local reports whether a dial failed of its source: the port is in use
// (EADDRINUSE, EADDRNOTAVAIL), is for those with privilege (EACCES), or whatever
// else forbids it.
func local(err error, from netip.AddrPort) bool {
	if from.Port() < 1024 && errors.Is(err, syscall.EACCES) {
		return true
	}
	return !unreachable(err) && !errors.Is(err, syscall.ETIMEDOUT)
}

// reset ends a connection that lost the race, as if it had not been.
func reset(c net.Conn) {
	if c == nil {
		return
	}
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0) // fails of a closed socket only
	}
	c.Close()
}

func (d *Direct) debug(what string, from, a netip.AddrPort, err error) {
	if d.Log != nil {
		d.Log.Debug(what, "from", from, "server", a, "err", err)
	}
}

// tell logs what has changed for a network. The first time it has to say what a
// person can do.
func (d *Direct) tell(c change, n netip.Prefix, a netip.AddrPort, saw sight) {
	if d.Log == nil {
		return
	}
	clients := n.String()
	if !n.IsValid() {
		clients = "source " + d.Spoof.addr.String()
	}
	switch {
	case c == turnedOn:
		d.Log.Info("servers' answers to the clients' addresses come back again; connections have them", "clients", clients, "server", a)
	case c == turnedOff && saw.trial == forbidden:
		d.Log.Warn("this host may not send from the clients' addresses; connections come from its own. Check that transom has CAP_NET_RAW, and was started for these clients (--from)",
			"clients", clients, "err", saw.err, "again_in", offFor)
	case c == turnedOff:
		d.Log.Warn("servers answer this host's own address and not the clients'; connections come from its own now. "+
			"Check that answers to the clients are routed back through this host and by no other way, and that private addresses are masqueraded where they leave for the internet",
			"clients", clients, "server", a, "err", saw.err, "again_in", offFor)
	}
}
