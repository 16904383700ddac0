package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom"
	"transom/capture"
	"transom/egress"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/steer"
)

type gatewayFlags struct {
	proxyFlags
	captureFlags
	backend string
	udp     string // ports
	names   namesFlag
	chosen  string // of the backends
	inward
	translated []steer.Translation // of addresses that are assumed
	halts      []string            // families that this host did not forward when it began
}

func gatewayCommand() *cobra.Command {
	f := &gatewayFlags{}
	cmd := &cobra.Command{
		Use:   "gateway [--interface INTERFACE] [FILTER...]",
		Short: "Capture what this host forwards; set redirection up and take it back",
		Long: `gateway is for a host that devices send their traffic through: their router, or
any machine that they have as their gateway. It makes the host forward, brings
the devices' connections to itself, shows and carries them on, and puts all of
it back when it ends, however it ends. What it doesn't capture is forwarded as
ever, and the host's own services stay reachable.

It takes root, or the capabilities CAP_NET_ADMIN and CAP_NET_RAW. A helper keeps
them; the process that reads traffic has none.

Servers see the devices' own addresses and ports (--spoof-source) where answers
to them come back through this host.

On macOS, FreeBSD and OpenBSD it is pf that redirects, or FreeBSD's ipfw. What
isn't there (--local, --udp-ports, --spoof-source, --mark) is refused by name.

With FILTER, which is --filter, only flows that match it are shown.`,
		Example: `  sudo transom gateway
  sudo transom gateway --interface wlan0 --from 192.168.7.0/24 --ports all --json -o flows.ndjson
  sudo transom gateway --interface eth1 --local --spoof-source none
  sudo transom gateway --udp-ports 53
  sudo transom gateway --interface none --local
  sudo transom gateway '~d example\.com$ & !~m GET'`,
		Args: cobra.ArbitraryArgs,
	}
	f.add(cmd.Flags())
	cmd.RunE = running(func(cmd *cobra.Command, args []string) error {
		if err := f.positional(args); err != nil {
			return err
		}
		s, err := f.steering()
		if err != nil {
			return &usageError{err}
		}
		if f.noInterface() && f.spoof.assumes() {
			return &usageError{aboutClients("spoof-source")}
		}
		if err := f.datagrams(&s); err != nil {
			return &usageError{err}
		}
		if f.backend != "auto" && !slices.Contains(steer.Backends(), f.backend) {
			return usagef("--backend %q: want %s", f.backend, backendNames())
		}
		open := f.open
		if steer.ByPF() {
			if err := f.refuseByPF(runtime.GOOS); err != nil {
				return &usageError{err}
			}
			open = f.openByPF
		}
		return f.run(cmd, &job{steering: s, spoof: gatewaySpoof(), open: open, begun: f.begun})
	})
	return cmd
}

// add defines the flags.
func (f *gatewayFlags) add(fl *pflag.FlagSet) {
	f.captureFlags.add(fl)
	fl.StringVar(&f.udp, "udp-ports", none, "UDP `PORTS` to capture, as in 53,5000-5010, or all, or none")
	fl.StringVar(&f.backend, "backend", "auto", "what the rules are made with: `auto|nft|iptables|pf|ipfw`, nft and iptables on Linux, pf on macOS and the BSDs, ipfw on FreeBSD")
	f.names.add(fl)
	f.proxyFlags.add(fl)
}

// open finds out how the capturing is done here, makes sure that it can be
// before anything is changed, and starts the helper.
func (f *gatewayFlags) open(ctx context.Context, p *transom.Proxy, r *rights) (platform.Host, error) {
	var err error
	if f.inward, err = f.find(&p.Steering, f.spoof.assumes()); err != nil {
		return nil, err
	}
	needed := slices.Concat(steeringCaps, spoofing)
	if err := r.need("redirect connections", needed...); err != nil {
		return nil, err
	}
	if err := f.exempt(p); err != nil {
		return nil, err
	}
	alone, err := helper.Lock(ctx, helper.LockWithin, p.Log)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	if len(p.Steering.Interfaces) > 0 {
		if f.halts, err = steer.NotForwarding(); err != nil {
			return nil, err
		}
	}
	if err := f.prepare(ctx, p); err != nil {
		return nil, err
	}
	f.capture(p)
	clients, err := f.clients(p)
	if err != nil {
		return nil, err
	}
	p.Spoof.From = clients
	if err := f.doubt(p); err != nil {
		return nil, err
	}
	f.findTranslations(p)
	c := charterOf(p, clients)
	c.Backend = f.chosen
	if f.local {
		r.findOwners(p)
	}
	if len(p.Steering.Interfaces) > 0 {
		r.findDevices(p, &f.names, p.Steering.Interfaces)
	}
	host, err := r.helper(ctx, p, c, alone)
	if err != nil || len(p.Steering.Interfaces) == 0 {
		return host, err
	}
	return watched(host, p)
}

// prepare chooses the method and removes what a run with another backend has
// left, while nobody else is at work.
func (f *gatewayFlags) prepare(ctx context.Context, p *transom.Proxy) error {
	if err := f.chooseMethod(ctx, p); err != nil {
		return err
	}
	return steer.Mend(ctx, f.chosen, p.Log)
}

// exempt keeps what we send ourselves from being captured. Connections to servers
// are known by their mark; a cgroup of our own has all the rest.
func (f *gatewayFlags) exempt(p *transom.Proxy) (err error) {
	if p.Steering.Local {
		p.Steering.Cgroup, err = steer.OwnCgroup()
	}
	return err
}

// chooseMethod tries what is best first.
func (f *gatewayFlags) chooseMethod(ctx context.Context, p *transom.Proxy) error {
	var errs []error
	for _, backend := range f.backends() {
		for _, m := range f.methods() {
			s := p.Steering
			s.Method = m
			s.Spoof = f.spoofs(p, m)
			err := f.try(ctx, p, backend, s)
			if err == nil {
				f.choose(p, s, backend)
				if len(errs) > 0 {
					p.Log.Warn("connections are not captured in the way that is best", "method", m, "backend", backend, "why", oneLine(errs))
				}
				return nil
			}
			if !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
				errs = append(errs, err)
			}
			if !errors.Is(err, platform.ErrUnsupported) {
				return err
			}
		}
	}
	return errors.Join(errs...)
}

// oneLine writes what errors say, one behind the other.
func oneLine(errs []error) string {
	words := make([]string, len(errs))
	for i, err := range errs {
		words[i] = err.Error()
	}
	return strings.Join(words, "; ")
}

// spoofs reports whether clients' addresses are assumed: by REDIRECT only if
// that was asked for, as connection tracking has to be told the legs apart.
func (f *gatewayFlags) spoofs(p *transom.Proxy, m platform.Method) bool {
	return p.Spoof.Mode() != egress.SpoofNone && len(p.Steering.Interfaces) > 0 && (m == platform.TPROXY || f.spoof.given())
}

func (f *gatewayFlags) choose(p *transom.Proxy, s platform.Steering, backend string) {
	p.Steering, f.chosen = s, backend
	if !s.Spoof && p.Spoof.Mode() != egress.SpoofNone {
		p.Spoof.Off()
	}
}

func (f *gatewayFlags) try(ctx context.Context, p *transom.Proxy, backend string, s platform.Steering) error {
	k, err := steer.OpenBackend(backend, p.Log)
	if err != nil {
		return err
	}
	return errors.Join(k.Check(ctx, s), k.Abandon())
}

func (f *gatewayFlags) backends() []string {
	if f.backend == "auto" {
		return steer.Backends()
	}
	return []string{f.backend}
}

func (f *gatewayFlags) methods() []platform.Method {
	if f.udp != none {
		return []platform.Method{platform.TPROXY}
	}
	switch f.method {
	case "tproxy":
		return []platform.Method{platform.TPROXY}
	case "redirect":
		return []platform.Method{platform.Redirect}
	}
	return []platform.Method{platform.TPROXY, platform.Redirect}
}

// capture is the listener that fits the steering.
func (f *gatewayFlags) capture(p *transom.Proxy) {
	p.Captures = []capture.Capture{capture.Redirect{
		Listen:             netip.AddrPortFrom(netip.IPv6Unspecified(), p.Steering.Port),
		RequireTransparent: p.Steering.Method == platform.TPROXY,
		Mark:               p.Steering.Marks.Client,
	}}
	if len(p.Steering.UDPPorts) > 0 {
		p.Captures = append(p.Captures, capture.Datagrams{
			Listen: netip.AddrPortFrom(netip.IPv6Unspecified(), p.Steering.Port),
			Mark:   p.Steering.Marks.Client,
		})
	}
	p.Mark = p.Steering.Marks.Upstream // what other firewalls let out by
}

// clients are the networks whose addresses may be assumed.
func (f *gatewayFlags) clients(p *transom.Proxy) ([]netip.Prefix, error) {
	if len(p.Steering.From) > 0 {
		return p.Steering.From, nil
	}
	ns, err := steer.Networks(p.Steering.Interfaces)
	if err != nil {
		return nil, fmt.Errorf("find the clients' networks: %w; name them with --from", err)
	}
	return ns, nil
}

// charterOf is what the helper may be asked for.
func charterOf(p *transom.Proxy, clients []netip.Prefix) helper.Charter {
	c := helper.Charter{Steering: p.Steering, Mark: p.Mark != 0}
	for _, from := range p.Captures {
		switch from := from.(type) {
		case capture.Redirect:
			c.Listen = append(c.Listen, from.Listen)
		case capture.Datagrams:
			c.Hear, c.Answers = append(c.Hear, from.Listen), clients
		}
	}
	if !p.Steering.IsZero() && !p.Steering.Spoof {
		return c
	}
	switch p.Spoof.Mode() {
	case egress.SpoofIPPort:
		c.Sources, c.SourcePort = clients, true
	case egress.SpoofIP:
		c.Sources = clients
	case egress.SpoofFixed:
		a := p.Spoof.Addr()
		c.Sources = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
	}
	return c
}

// everywhere is what clients may be behind if nobody knows.
func everywhere() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
}
