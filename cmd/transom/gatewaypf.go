package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"

	"transom"
	"transom/capture"
	"transom/egress"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/pf"
	"transom/platform/sandbox"
	"transom/platform/steer"
)

// Where pf steers, gateway has the same options, and refuses by name those that
// say something of what isn't there.

// refuseByPF does, with what works.
func (f *gatewayFlags) refuseByPF(system string) error {
	switch {
	case f.local:
		return fmt.Errorf("--local: rules of pf bring what comes in by an interface, not what this host sends itself: enter http://127.0.0.1:%d as the proxy of its programs", f.port.value)
	case f.udp != none:
		return fmt.Errorf("--udp-ports %s: pf changes where a datagram goes, and nothing tells where it went: UDP is captured on Linux alone", f.udp)
	case f.method == "tproxy" || f.method == "redirect" && (system == "openbsd" || f.backend == "ipfw"):
		return fmt.Errorf("--method %s: on this system connections are brought by %s, which is what --method auto takes", f.method, pfWay(system, f.backend))
	case f.spoof.assumes() && system == "darwin":
		return fmt.Errorf("--spoof-source: %w", platform.Assumes())
	case f.spoof.assumes():
		return errors.New("--spoof-source: on this system each such connection takes root, and there is no helper that makes it: " +
			"transom listen --spoof-source ip --user root does it, with the rules of transom steer show")
	case f.flags.Changed("mark"):
		return errors.New("--mark: packets have no marks on this system; leave it out")
	}
	return nil
}

// pfWay is how connections are brought on a system.
func pfWay(system, backend string) string {
	switch {
	case backend == "ipfw":
		return "fwd"
	case system == "openbsd":
		return "divert-to"
	}
	return "rdr"
}

// openByPF finds out whether connections can be captured, before anything is changed,
// and starts the helper that stays root.
func (f *gatewayFlags) openByPF(ctx context.Context, p *transom.Proxy, r *rights) (_ platform.Host, err error) {
	if f.inward, err = f.find(&p.Steering, false); err != nil {
		return nil, err
	}
	if err := needRoot("redirect connections"); err != nil {
		return nil, err
	}
	alone, err := helper.Lock(ctx, helper.LockWithin, p.Log)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	if f.halts, err = steer.NotForwarding(); err != nil {
		return nil, err
	}
	p.Steering.Method = platform.Redirect
	if err := f.chooseBackend(ctx, p); err != nil {
		return nil, err
	}
	f.doubtInterfaces(p)
	p.Captures = pfCaptures(runtime.GOOS, p.Steering.Port, f.links, p.Steering.Interfaces)
	r.findDevices(p, &f.names, p.Steering.Interfaces)
	self := sandbox.Self()
	r.helperAs = &self
	return helper.Start(ctx, pfCharter(p, f.chosen, pf.RootAlone() && !r.rooted()), helper.Options{Log: p.Log, Lock: alone, Env: []string{}})
}

// chooseBackend takes the first that can do it.
func (f *gatewayFlags) chooseBackend(ctx context.Context, p *transom.Proxy) error {
	var errs []error
	for _, backend := range f.backends() {
		if backend == "ipfw" && f.method == "redirect" {
			continue // which brings connections as they are
		}
		err := f.try(ctx, p, backend, p.Steering)
		if err == nil {
			f.chosen = backend
			return steer.Mend(ctx, f.chosen, p.Log)
		}
		errs = append(errs, err)
		if !errors.Is(err, platform.ErrUnsupported) {
			break
		}
	}
	return errors.Join(errs...)
}

// pfCaptures are the listeners. One for all addresses hears what rdr brings; on
// OpenBSD divert-to finds a listener by its very address, and no socket is of both
// families, so there the page with the certificate has listeners of its own.
func pfCaptures(system string, port uint16, links []steer.Link, interfaces []string) []capture.Capture {
	at := []netip.Addr{netip.IPv6Unspecified()}
	if system == "openbsd" {
		at = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
		for _, l := range links {
			for _, a := range l.Addresses {
				if slices.Contains(interfaces, l.Name) && !slices.Contains(at, a.Addr()) {
					at = append(at, a.Addr())
				}
			}
		}
	}
	var all []capture.Capture
	for _, a := range at {
		all = append(all, capture.Redirect{Listen: netip.AddrPortFrom(a, port)})
	}
	return all
}

// pfCharter is what the helper may be asked for.
func pfCharter(p *transom.Proxy, backend string, lookups bool) helper.Charter {
	c := helper.Charter{Steering: p.Steering, Backend: backend}
	for _, from := range p.Captures {
		if from, ok := from.(capture.Redirect); ok && lookups {
			c.Lookups = append(c.Lookups, from.Listen)
		}
	}
	return c
}

// needRoot refuses to go on without.
func needRoot(what string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("can't %s without root: run it by sudo or doas", what)
	}
	return nil
}

// gatewaySpoof is what --spoof-source is if it isn't given.
func gatewaySpoof() string {
	if steer.ByPF() {
		return egress.SpoofNone.String()
	}
	return "ip+port"
}

// backendNames are those of --backend, for who has named another.
func backendNames() string { return "auto, " + strings.Join(steer.Backends(), " or ") }
