package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"transom/platform"
)

// captureFlags say what is captured, and how.
type captureFlags struct {
	interfaces listFlag
	from       listFlag
	exclude    listFlag
	ports      string
	method     string
	local      bool
	quic       string
	onDead     string
	mark       string
	port       numberFlag
}

// add defines the flags.
func (f *captureFlags) add(fl *pflag.FlagSet) {
	f.port = portFlag(1) // rules name it
	fl.Var(&f.interfaces, "interface", "capture what comes in by this `INTERFACE`, which clients are behind; may be repeated; none, with --local, is no interface (default: all that look like it)")
	fl.Var(&f.from, "from", "capture only clients in this `NETWORK`, as in 192.168.1.0/24; may be repeated")
	fl.Var(&f.exclude, "exclude", "leave clients and servers in this `NETWORK` alone; may be repeated")
	fl.StringVar(&f.ports, "ports", "80,443", "TCP `PORTS` to capture, as in 80,443,8000-8010, or all")
	fl.StringVar(&f.method, "method", "auto", "how connections are brought here: `auto|tproxy|redirect`")
	fl.BoolVar(&f.local, "local", false, "capture what this host's own programs send, too; with --interface none that alone")
	fl.StringVar(&f.quic, "quic", "reject", "what to do with QUIC to captured ports: `reject|pass`; rejected clients use TCP")
	fl.StringVar(&f.onDead, "on-dead", "open", "what becomes of new connections if transom dies unasked: `open|closed`, they go direct or are refused")
	fl.StringVar(&f.mark, "mark", "0x70", "the two or three bits in a row of packet and socket marks that are transom's, as a `MASK`")
	fl.VarP(&f.port, "listen-port", "p", "port to listen on")
}

// steering is what the flags ask for, without the interfaces that are found out.
func (f *captureFlags) steering() (s platform.Steering, err error) {
	s.Local, s.Port = f.local, uint16(f.port.value)
	if s.Interfaces, err = f.named(); err != nil {
		return s, err
	}
	if s.From, err = networks("from", f.from); err != nil {
		return s, err
	}
	if s.Exclude, err = networks("exclude", f.exclude); err != nil {
		return s, err
	}
	if nothingLeft(s.From, s.Exclude) {
		return s, fmt.Errorf("--from %s: --exclude takes all of that away, so no client would be captured", strings.Join(f.from, ","))
	}
	if f.ports != "all" {
		if s.Ports, err = platform.ParsePorts(f.ports); err != nil {
			return s, fmt.Errorf("--ports: %w", err)
		}
	}
	switch f.method {
	case "auto", "tproxy":
		s.Method = platform.TPROXY
	case "redirect":
		s.Method = platform.Redirect
	default:
		return s, fmt.Errorf("--method %q: want auto, tproxy or redirect", f.method)
	}
	switch f.quic {
	case "reject", "pass":
		s.RejectQUIC = f.quic == "reject"
	case "intercept":
		return s, errors.New("--quic intercept: HTTP/3 is not built yet; with reject clients use TCP")
	default:
		return s, fmt.Errorf("--quic %q: want reject or pass", f.quic)
	}
	switch f.onDead {
	case "open", "closed":
		s.Closed = f.onDead == "closed"
	default:
		return s, fmt.Errorf("--on-dead %q: want open or closed", f.onDead)
	}
	s.Marks, err = parseMarks(f.mark)
	return s, err
}

// none is the word for no interface.
const none = "none"

// noInterface reports whether there are to be no interfaces.
func (f *captureFlags) noInterface() bool { return slices.Contains(f.interfaces, none) }

// named are the interfaces that were named.
func (f *captureFlags) named() ([]string, error) {
	switch {
	case !f.noInterface():
		return f.interfaces, nil
	case slices.ContainsFunc(f.interfaces, func(name string) bool { return name != none }):
		return nil, errors.New("--interface none is for no interface at all: leave it out, or the others")
	case !f.local:
		return nil, errors.New("with --interface none nothing is captured; add --local for what this host's own programs send")
	case len(f.from) > 0:
		return nil, aboutClients("from")
	case f.method == "tproxy":
		return nil, errors.New("--method tproxy is for what devices send; this host's own programs are captured by redirect: leave it out")
	}
	return nil, nil
}

// aboutClients refuses an option that says nothing of this host's own programs.
func aboutClients(option string) error {
	return fmt.Errorf("--%s is about clients, and with --interface none there are none", option)
}

// nothingLeft reports whether each of some clients is excluded.
func nothingLeft(from, exclude []netip.Prefix) bool {
	excluded := func(p netip.Prefix) bool {
		return slices.ContainsFunc(exclude, func(e netip.Prefix) bool { return e.Bits() <= p.Bits() && e.Contains(p.Addr()) })
	}
	return len(from) > 0 && !slices.ContainsFunc(from, func(p netip.Prefix) bool { return !excluded(p) })
}

// networks reads CIDRs and single addresses.
func networks(flag string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
			a = a.Unmap()
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: want a network such as 192.168.1.0/24 or fd00::/8, or an address", flag, text)
		}
		if p != p.Masked() {
			return nil, fmt.Errorf("--%s %s: that is an address within %s; write the one or the other", flag, text, p.Masked())
		}
		out = append(out, p)
	}
	return out, nil
}

func parseMarks(text string) (platform.Marks, error) {
	mask, err := strconv.ParseUint(text, 0, 32)
	if err != nil {
		return platform.Marks{}, fmt.Errorf("--mark %q: want a mask such as 0x70", text)
	}
	m, err := platform.MarksOf(uint32(mask))
	if err != nil {
		return m, fmt.Errorf("--mark: %w", err)
	}
	return m, nil
}
