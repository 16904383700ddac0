package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"

	"transom"
	"transom/ca"
	"transom/egress"
	"transom/platform/steer"
)

// What is said when a run has begun: a line each of what is captured, what would
// surprise, and what to do next.

// tellBegun says it. The first lines are the command's own.
func (f *proxyFlags) tellBegun(log *slog.Logger, lines []string, signer ca.Info) {
	by := signer.Path
	if by == "" {
		by = signer.Name
	}
	if signer.Made {
		by += ", made just now: no device trusts it yet"
	}
	lines = append(lines,
		"stop it with Ctrl-C: "+f.grace.grace(),
		"signing for servers with "+by)
	for _, line := range lines {
		log.Info(line)
	}
}

// begun says what a gateway does.
func (f *gatewayFlags) begun(p *transom.Proxy, _ []net.Addr) []string {
	s := &p.Steering
	lines := append([]string{f.captured(p)}, f.missed(s.Interfaces)...)
	if len(s.From) > 0 {
		lines = append(lines, "captured are only devices in "+words(s.From))
	}
	if len(s.Exclude) > 0 {
		lines = append(lines, "left alone is what comes from or goes to "+words(s.Exclude))
	}
	if len(f.halts) > 0 {
		lines = append(lines, "this host did not forward "+strings.Join(f.halts, " and ")+": it does now, and no longer when transom has ended")
	}
	if s.Closed {
		lines = append(lines, "if transom is killed, such connections are refused until the next start or 'transom cleanup'")
	}
	if !f.unproven {
		lines = append(lines, f.seen(p))
		for _, other := range otherThan(f.translated) {
			lines = append(lines, "but "+other)
		}
	}
	return append(lines, pageLine(f.links, s.Interfaces, s.Port))
}

// captured is what is brought here, and how.
func (f *gatewayFlags) captured(p *transom.Proxy) string {
	s := &p.Steering
	var whose []string
	if len(s.Interfaces) > 0 {
		whose = append(whose, "of devices behind "+strings.Join(s.Interfaces, ", "))
	}
	if s.Local {
		whose = append(whose, "of this host's own programs")
	}
	ports, quic := "all TCP ports", "QUIC passes unseen"
	if len(s.Ports) > 0 {
		ports = "TCP ports " + join(s.Ports)
	}
	if s.RejectQUIC {
		quic = "QUIC is refused"
	}
	udp := ""
	switch {
	case f.udp == "all":
		udp = " and all UDP ports"
	case len(s.UDPPorts) > 0:
		udp = " and UDP ports " + join(s.UDPPorts)
	}
	if s.Local && udp != "" {
		whose[len(whose)-1] += "," + strings.TrimPrefix(udp, " and") + " of devices alone"
	} else {
		ports += udp
	}
	how := s.Method.String()
	switch {
	case len(s.Interfaces) == 0:
		how = "redirect" // as what Local brings is in any case
	case f.chosen == "pf", f.chosen == "ipfw":
		how = pfWay(runtime.GOOS, f.chosen)
	}
	return fmt.Sprintf("capturing %s %s (%s, %s); %s", ports, strings.Join(whose, " and "), how, f.chosen, quic)
}

// seen says whose address servers see.
func (f *gatewayFlags) seen(p *transom.Proxy) string {
	line := f.seenOf(p)
	if p.Steering.Local && len(p.Steering.Interfaces) > 0 && p.Steering.Spoof {
		line += "; of its own programs, this host's"
	}
	return line
}

// seenOf says it of devices.
func (f *gatewayFlags) seenOf(p *transom.Proxy) string {
	const back = ", where answers to these come back through this host, and where not, its own"
	switch mode := p.Spoof.Mode(); {
	case !p.Steering.Spoof && !f.spoof.given() && len(p.Steering.Interfaces) > 0 && !steer.ByPF():
		return "servers see this host's address: by redirect it is the devices' only with --spoof-source"
	case !p.Steering.Spoof:
		return "servers see this host's address"
	case mode == egress.SpoofFixed && p.Spoof.Addr().Is4():
		return fmt.Sprintf("servers see %s, and over IPv6 this host's address", p.Spoof)
	case mode == egress.SpoofFixed:
		return fmt.Sprintf("servers see %s, and over IPv4 this host's address", p.Spoof)
	case mode == egress.SpoofIP:
		return "servers see the devices' addresses" + back
	}
	return "servers see the devices' addresses and ports" + back
}

// begun says what a listener does.
func (f *listenFlags) begun(_ *transom.Proxy, at []net.Addr) []string {
	lines := []string{"listening for redirected connections on " + join(at)}
	if page := pageOf(at); page != "" {
		lines = append(lines, page)
	}
	return lines
}

// pageOf says where devices find the certificate at listeners, "" if it isn't
// known. One for all addresses is taken for those that clients may be near.
func pageOf(listeners []net.Addr) string {
	var near, here []string
	for _, l := range listeners {
		a, ok := l.(*net.TCPAddr)
		if !ok {
			continue
		}
		at := netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
		switch {
		case at.Addr().IsUnspecified():
			near = append(near, pages(at)...)
		case at.Addr().IsLoopback():
			here = append(here, at.String())
		case private(at.Addr()):
			near = append(near, at.String())
		}
	}
	switch {
	case len(near) > 0:
		return pageFor(near)
	case len(here) > 0:
		return "for the certificate open http://" + here[0] + "/"
	}
	return ""
}

// pages are where an unspecified address is found by clients.
func pages(at netip.AddrPort) []string {
	links, err := steer.Links()
	if err != nil {
		return nil // they aren't known on this system, or not to us
	}
	behind, _, err := steer.Choose(links, nil)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(addresses(links, behind, at.Port()), func(s string) bool {
		return at.Addr().Is4() && s[0] == '['
	})
}

// pageLine says where devices behind interfaces find the certificate. The page is
// for those with private addresses, and who opens one of ours comes from a like one.
func pageLine(links []steer.Link, interfaces []string, port uint16) string {
	if len(interfaces) == 0 {
		return fmt.Sprintf("for the certificate open http://localhost:%d/", port)
	}
	if at := addresses(links, interfaces, port); len(at) > 0 {
		return pageFor(at)
	}
	return "the page with the certificate is for private addresses, of which there is none: use 'transom ca export'"
}

// addresses are those of the page, the first private one of each interface.
func addresses(links []steer.Link, interfaces []string, port uint16) (at []string) {
	for _, l := range links {
		i := slices.IndexFunc(l.Addresses, func(p netip.Prefix) bool { return private(p.Addr()) })
		if i >= 0 && slices.Contains(interfaces, l.Name) {
			at = append(at, netip.AddrPortFrom(l.Addresses[i].Addr(), port).String())
		}
	}
	return at
}

func pageFor(at []string) string {
	return "for the certificate open http://" + strings.Join(at, "/ or http://") + "/ on a device"
}

// private reports whether clients may come to the page from an address, as the
// engine does.
func private(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}

// words writes networks, and those of one address as that.
func words(networks []netip.Prefix) string {
	list := make([]fmt.Stringer, len(networks))
	for i, n := range networks {
		list[i] = n
		if n.IsSingleIP() {
			list[i] = n.Addr()
		}
	}
	return join(list)
}

// join writes values as a list.
func join[T fmt.Stringer](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}
