// Package helper is the privilege boundary. The process that parses bytes has no
// right; what needs one it asks of a helper process, over a socket pair, by a few
// requests of fixed form. The helper was told at its start, by a Charter, what may
// be asked for, and refuses and logs everything else.
//
//	proxy ── socket pair ── helper     asks: apply, listen, prepare a socket, test
//	  └──── watch ────────────┘        starts the helper again when it dies
//
// The watch keeps a copy of the helper's end, so that the pair survives a helper.
// When the proxy is gone the helper takes everything back; when both are gone the
// watch does. The package steers no packets by itself and knows nothing of users
// and capabilities: it is given who does.
package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"transom/platform"
)

// ErrRefused is wrapped by errors of requests that the charter does not cover.
var ErrRefused = errors.New("refused by the helper")

// ErrLost is wrapped by errors of requests that nobody is there to answer any
// more.
var ErrLost = errors.New("the helper is gone")

// A Charter is what a helper is started for.
type Charter struct {
	// Steering is what Apply may ask for, also with Draining; zero is none.
	Steering platform.Steering
	// Backend names what steers, for Open.
	Backend string
	// Listen are the addresses of listeners that may be opened. They are
	// transparent and marked Client.
	Listen []netip.AddrPort
	// Sources are the foreign addresses that sockets towards servers may be bound
	// to. An address of this host itself has to be there by itself, as a prefix of
	// one address.
	Sources []netip.Prefix
	// SourcePort allows the client's port as well; else the helper chooses one.
	SourcePort bool
	// Mark allows sockets that are marked Upstream and not bound.
	Mark bool
	// Hear are the addresses of listeners for datagrams that may be opened, as those
	// of Listen.
	Hear []netip.AddrPort
	// Answers are the networks whose clients may be answered by UDP, from any
	// address that is not this host's and a port that the steering captures. Nor
	// are the clients this host, unless it is one program that is captured: then
	// they have no other address.
	Answers []netip.Prefix
	// Lookups are the listeners of which pf is asked where connections to them were
	// meant to go, on a system where root alone gets an answer; see pf.Serve.
	Lookups []netip.AddrPort
}

// Check refuses a charter that makes no sense.
func (c *Charter) Check() error {
	if err := c.Steering.Check(); err != nil {
		return err
	}
	for _, a := range slices.Concat(c.Listen, c.Hear) {
		if !a.Addr().IsValid() || a.Addr().Zone() != "" {
			return fmt.Errorf("helper: listener %s: want an address without a zone", a)
		}
	}
	for _, p := range slices.Concat(c.Sources, c.Answers) {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("helper: network %s is not valid", p)
		}
	}
	return nil
}

// marks are those of the steering.
func (c *Charter) marks() platform.Marks { return c.Steering.Marks.OrDefault() }

// allowsListen checks the address of a listener against those there may be.
func allowsListen(list []netip.AddrPort, a netip.AddrPort) error {
	for _, l := range list {
		if unmap(l) == unmap(a) {
			return nil
		}
	}
	return fmt.Errorf("%w: listen on %s: it was started for %s", ErrRefused, a, words(list, "no listener"))
}

// allowsAnswer checks the ends of a socket that answers a client as somebody else.
func (c *Charter) allowsAnswer(client, dst netip.AddrPort, own func(netip.Addr) bool) error {
	client, dst = unmap(client), unmap(dst)
	refuse := func(why string) error {
		return fmt.Errorf("%w: answer %s from %s: %s", ErrRefused, client, dst, why)
	}
	captured := func(r platform.PortRange) bool { return r.First <= dst.Port() && dst.Port() <= r.Last }
	switch {
	case len(c.Answers) == 0:
		return refuse("it was started for no datagrams")
	case never(dst.Addr()) || dst.Port() == 0:
		return refuse("nobody to be captured for has such an address")
	case own(dst.Addr()):
		return refuse("the address is this host's own")
	case !slices.ContainsFunc(c.Steering.UDPPorts, captured):
		return refuse("it was started for UDP ports " + words(c.Steering.UDPPorts, "none"))
	case never(client.Addr()) || client.Port() == 0 || own(client.Addr()) != (c.Steering.Program != ""):
		return refuse("no client has such an address")
	case !slices.ContainsFunc(c.Answers, func(p netip.Prefix) bool { return p.Contains(client.Addr()) }):
		return refuse("it was started for clients in " + words(c.Answers, "none"))
	}
	return nil
}

// never reports whether nobody whose packets are forwarded has the address.
func never(ip netip.Addr) bool {
	return !ip.IsValid() || ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip == limitedBroadcast
}

// allowsSource checks the source of a socket towards a server; own tells this
// host's addresses.
func (c *Charter) allowsSource(a netip.AddrPort, own func(netip.Addr) bool) error {
	a = unmap(a)
	ip := a.Addr()
	refuse := func(why string) error {
		return fmt.Errorf("%w: a socket from %s: %s", ErrRefused, a, why)
	}
	switch {
	case never(ip):
		return refuse("no client has such an address")
	case a.Port() != 0 && !c.SourcePort:
		return refuse("it was started for sources without a port")
	}
	within, alone := false, false
	for _, p := range c.Sources {
		if p.Contains(ip) {
			within = true
			alone = alone || p.IsSingleIP()
		}
	}
	switch {
	case !within:
		return refuse("it was started for " + words(c.Sources, "no source"))
	case !alone && own(ip):
		return refuse("that is this host's own")
	}
	return nil
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// words names a few of what a charter has.
func words[T fmt.Stringer](all []T, none string) string {
	if len(all) == 0 {
		return none
	}
	const most = 8
	var few []string
	for _, s := range all[:min(most, len(all))] {
		few = append(few, s.String())
	}
	if more := len(all) - most; more > 0 {
		few = append(few, fmt.Sprintf("%d more", more))
	}
	return strings.Join(few, ", ")
}

// covers reports whether the charter lets s be applied, and in which state that
// leaves the host.
func (c *Charter) covers(s platform.Steering) (state, error) {
	if s.IsZero() {
		return off, nil
	}
	to := on
	if s.Draining {
		to = draining
	}
	ours := c.Steering
	s.Draining, ours.Draining = false, false
	s.Marks, ours.Marks = s.Marks.OrDefault(), ours.Marks.OrDefault()
	if ours.IsZero() || !s.Equal(&ours) {
		return off, fmt.Errorf("%w: a steering (%s to port %d, interfaces %q) that is not the one it was started for (%s to port %d, interfaces %q)",
			ErrRefused, s.Method, s.Port, s.Interfaces, ours.Method, ours.Port, ours.Interfaces)
	}
	return to, nil
}

// A Steerer changes the host on behalf of the helper and the watch.
type Steerer interface {
	platform.Network
	// Leave takes back what this or an earlier process has applied, as Apply of
	// the zero Steering does, but leaves what Steering.Closed refuses by: nobody
	// has said that it is over.
	Leave(ctx context.Context) error
	// Leftovers lists what an earlier process has left, one line each.
	Leftovers(ctx context.Context) ([]string, error)
	// Cleanup takes back what an earlier process has left, all of it, and returns
	// what that was, one line each. This one has nothing in force then.
	Cleanup(ctx context.Context) ([]string, error)
	// Abandon lets go of the kernel and takes nothing back. It is the last call.
	Abandon() error
}

// A Memory outlives the process that writes to it.
type Memory interface {
	// Recall returns what was last kept, maybe by another process.
	Recall() ([]string, error)
	// Keep replaces it.
	Keep(lines []string) error
}

// Rights is how the watch and the helper get at what this package does not know.
type Rights struct {
	// Open returns what steers, of a charter's Backend. It keeps in memory what has
	// to be known to take everything back.
	Open func(log *slog.Logger, backend string, memory Memory) (Steerer, error)
	// Keep gives up all capabilities but caps, and lets a program that is started
	// have them if across; nil keeps what there is.
	Keep func(caps []uintptr, across bool) error
	// Log words what is logged when the proxy is gone; nil is slog's text form.
	Log func(io.Writer) slog.Handler
}

// handler is what Log makes for w.
func (r *Rights) handler(w io.Writer) slog.Handler {
	if r.Log == nil {
		return slog.NewTextHandler(w, nil)
	}
	return r.Log(w)
}

func (r *Rights) keep(caps []uintptr, across bool) error {
	if r.Keep == nil {
		return nil
	}
	return r.Keep(slices.Clone(caps), across)
}

// open opens what steers, nil if the charter has nothing to steer.
func (r *Rights) open(log *slog.Logger, c *Charter, m Memory) (Steerer, error) {
	if c.Steering.IsZero() {
		return nil, nil
	}
	return r.Open(log, c.Backend, m)
}

// A role is what a watch or a helper is told at its start, by a pipe from who
// started it; never by the socket pair.
type role struct {
	Charter      Charter
	Capabilities []uintptr
	Epoch        uint32 // how many helpers there have been, with this one
	Held         int    // descriptors that are the lock
}
