package policy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"transom/flow"
	"transom/pattern"
)

// A Pattern is a regular expression over host names and addresses, in Python's
// syntax: searched for, not anchored, without regard to case.
type Pattern struct{ *pattern.Pattern }

// CompilePattern compiles one pattern; see package pattern. Its error names the
// pattern and what is wrong with it.
func CompilePattern(text string) (*Pattern, error) {
	if text == "" {
		return nil, errors.New("an empty pattern matches everything; write . if that is meant")
	}
	p, err := pattern.Compile(text, pattern.Options{IgnoreCase: true})
	if err != nil {
		return nil, fmt.Errorf("pattern %q is not a regular expression: %w", text, err)
	}
	return &Pattern{p}, nil
}

// Match reports whether the pattern occurs in s. A match that takes too long
// counts as one.
func (p *Pattern) Match(s string) bool {
	ok, err := p.MatchString(s)
	return ok || err != nil
}

// Hosts is the Policy of --ignore-hosts, --allow-hosts and --tcp-hosts, with
// mitmproxy's meaning. The first two are matched against "host:port" for the
// original destination and every name the client said (SNI, Host, the name
// given to an explicit proxy); IPv6 addresses stand in brackets. TCP is matched
// against the same without ports.
type Hosts struct {
	Ignore []*Pattern // pass what matches
	Allow  []*Pattern // if there are any, pass what matches none
	TCP    []*Pattern // take TLS off what matches and record the bytes inside; not of UDP
}

// Decide implements Policy.
func (h *Hosts) Decide(c *flow.Conn) Verdict {
	if len(h.Ignore)+len(h.Allow)+len(h.TCP) == 0 {
		return Verdict{}
	}
	names, n := names(c)
	port := strconv.Itoa(int(c.Dst.Port()))
	for _, name := range names[:n] {
		if p := match(h.Ignore, net.JoinHostPort(name, port)); p != nil {
			return Verdict{Pass, fmt.Sprintf("ignored by rule: ignore-hosts %s", p)}
		}
	}
	if len(h.Allow) > 0 && settled(c) && !h.allowed(names[:n], port) {
		return Verdict{Pass, "ignored by rule: not in allow-hosts"}
	}
	if c.Network == "udp" {
		return Verdict{}
	}
	for _, name := range names[:n] {
		if p := match(h.TCP, name); p != nil {
			return Verdict{Record, fmt.Sprintf("raw by rule: tcp-hosts %s", p)}
		}
	}
	return Verdict{}
}

// settled reports whether the client has said all the names it will say before
// what it sends must be taken apart.
func settled(c *flow.Conn) bool { return len(c.Layers) > 0 }

func (h *Hosts) allowed(names []string, port string) bool {
	for _, name := range names {
		if match(h.Allow, net.JoinHostPort(name, port)) != nil {
			return true
		}
	}
	return false
}

func match(ps []*Pattern, s string) *Pattern {
	for _, p := range ps {
		if p.Match(s) {
			return p
		}
	}
	return nil
}

// names lists what the destination is called, without ports.
func names(c *flow.Conn) (list [8]string, n int) {
	add := func(s string) {
		if s != "" && n < len(list) {
			list[n] = s
			n++
		}
	}
	if c.Dst.Addr().IsValid() {
		add(c.Dst.Addr().String())
	}
	add(c.Host)
	for _, l := range c.Layers {
		add(hostOnly(l.Host))
	}
	return list, n
}

// hostOnly cuts the port off an authority.
func hostOnly(authority string) string {
	if h, _, err := net.SplitHostPort(authority); err == nil {
		return h
	}
	if a, err := netip.ParseAddr(trimBrackets(authority)); err == nil {
		return a.String()
	}
	return authority
}

func trimBrackets(s string) string {
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		return s[1 : len(s)-1]
	}
	return s
}

var _ Policy = (*Hosts)(nil)
