package pf

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A State is a line of pfctl -s state about TCP. There are two forms, of a
// redirected connection that came in:
//
//	ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:40000       ESTABLISHED:ESTABLISHED
//	all tcp 127.0.0.1:8080 (192.0.2.1:80) <- 10.0.0.2:40000       ESTABLISHED:ESTABLISHED
//
// the first of macOS, the second of the BSDs; an IPv6 address has its port in
// brackets, as in ::1[8080]. One that was not redirected has no second address.
type State struct {
	Local    netip.AddrPort // where it has arrived
	Original netip.AddrPort // where it was meant to go: Local, if it wasn't redirected
	Client   netip.AddrPort
	Peers    [2]string // what is known of each side: "ESTABLISHED", "SYN_SENT"
}

// ParseState reads a line. ok is false of all that isn't exactly a TCP connection
// that came in.
func ParseState(line string) (s State, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[1] != "tcp" {
		return State{}, false
	}
	hosts, peers := f[2:len(f)-1], f[len(f)-1]
	if s.Peers[0], s.Peers[1], ok = strings.Cut(peers, ":"); !ok || !stateWord(s.Peers[0]) || !stateWord(s.Peers[1]) {
		return State{}, false
	}
	var local, original, client string
	switch {
	case len(hosts) == 3 && hosts[1] == "<-":
		local, original, client = hosts[0], hosts[0], hosts[2]
	case len(hosts) == 5 && hosts[1] == "<-" && hosts[3] == "<-":
		local, original, client = hosts[0], hosts[2], hosts[4]
	case len(hosts) == 4 && hosts[2] == "<-" && len(hosts[1]) > 2 && hosts[1][0] == '(' && hosts[1][len(hosts[1])-1] == ')':
		local, original, client = hosts[0], hosts[1][1:len(hosts[1])-1], hosts[3]
	default:
		return State{}, false
	}
	for text, to := range map[string]*netip.AddrPort{local: &s.Local, client: &s.Client} {
		if *to, ok = parseHost(text); !ok {
			return State{}, false
		}
	}
	s.Original, ok = parseHost(original)
	family := s.Local.Addr().Is4()
	if !ok || s.Original.Addr().Is4() != family || s.Client.Addr().Is4() != family {
		return State{}, false
	}
	return s, true
}

// stateWord reports whether pfctl calls a state of TCP so. It has words besides for
// connections that pf itself answers, which have no other side yet.
func stateWord(w string) bool {
	return slices.Contains(tcpStates[:], w)
}

var tcpStates = [...]string{
	"CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "CLOSE_WAIT",
	"FIN_WAIT_1", "CLOSING", "LAST_ACK", "FIN_WAIT_2", "TIME_WAIT",
}

// over reports whether both sides have ended: the state waits to be forgotten,
// and a new connection of the same ends may be there already.
func (s *State) over() bool {
	done := func(w string) bool { return w == "FIN_WAIT_2" || w == "TIME_WAIT" || w == "CLOSED" }
	return done(s.Peers[0]) && done(s.Peers[1])
}

// parseHost reads an address with its port.
func parseHost(text string) (netip.AddrPort, bool) {
	addr, port, ok := strings.Cut(text, "[")
	if ok {
		port, ok = strings.CutSuffix(port, "]")
	} else if i := strings.LastIndexByte(text, ':'); i >= 0 {
		addr, port, ok = text[:i], text[i+1:], true
	}
	a, err := netip.ParseAddr(addr)
	n, err2 := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil || err2 != nil || n == 0 || a.Is4() == strings.HasSuffix(text, "]") || a.Is4In6() {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a, uint16(n)), true
}

// String writes a state in the second form, for tests and for people.
func (s *State) String() string {
	original := ""
	if s.Original != s.Local {
		original = " (" + host(s.Original) + ")"
	}
	return fmt.Sprintf("all tcp %s%s <- %s       %s:%s", host(s.Local), original, host(s.Client), s.Peers[0], s.Peers[1])
}

func host(a netip.AddrPort) string {
	if a.Addr().Is4() {
		return a.String()
	}
	return fmt.Sprintf("%s[%d]", a.Addr(), a.Port())
}

// Find looks among states, as pfctl prints them, for the connection of a client
// that was accepted at local, and returns where it was meant to go. Both ends have
// to be the same, and whole. Lines that are none of ours are left out.
func Find(r io.Reader, client, local netip.AddrPort) (dst netip.AddrPort, err error) {
	client, local = plain(client), plain(local)
	c, l := ends(client), ends(local)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s, ok := ParseState(lines.Text())
		if !ok || s.over() || ends(s.Client) != c || ends(s.Local) != l {
			continue
		}
		found := netip.AddrPortFrom(unscope(s.Original.Addr(), local.Addr().Zone()), s.Original.Port())
		if dst.IsValid() && dst != found {
			return netip.AddrPort{}, fmt.Errorf("pf has states that say that the connection of %s to %s was meant for %s, and for %s", client, local, dst, found)
		}
		dst = found
	}
	if err := lines.Err(); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the states of pf: %w", err)
	}
	if !dst.IsValid() {
		return netip.AddrPort{}, fmt.Errorf("the connection of %s to %s: %w", client, local, ErrNoState)
	}
	return dst, nil
}

// ends is an address without what is known of its interface: pfctl may write
// its number, its name or nothing.
func ends(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(unscope(a.Addr(), "").WithZone(""), a.Port())
}
