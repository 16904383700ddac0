package steer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"transom/platform/nft"
)

// A fault is why an answer does not come back.
type fault struct {
	what string
	mend string // a command, if there is one, else what to do
}

// explain says what keeps an answer, or its question, from arriving. In the order of
// the way, the first thing that is wrong is to blame.
func (e *exchange) explain(ctx context.Context, p *probes, asked bool) fault {
	last, missing := p.end()
	if last == nil || last.hook == nft.Output || last.hook == nft.Postrouting {
		return e.unasked(ctx, p, last, missing, asked)
	}
	if before, after := p.marks(); after != nil {
		switch {
		case before != nil:
			return e.overwritten(ctx, p, before)
		case missing == nil || missing.hook != nft.Prerouting:
			return e.undiverted(p)
		}
	}
	switch {
	case missing == nil:
		return e.unknown("it was delivered to this host, and its socket did not take it")
	case missing.hook != last.hook:
		return e.misrouted()
	}
	f := e.dropped(ctx, p, last, "the answer")
	if last.invalid > 0 && (last.hook == nft.Input || last.priority > tracked) {
		f.what += ", and connection tracking takes the answer for invalid, as if it had not seen the question: look for notrack in chains at hook output"
	}
	return f
}

// unasked is for when the question itself was lost.
func (e *exchange) unasked(ctx context.Context, p *probes, last, missing *probe, asked bool) fault {
	switch {
	case last == nil:
		return e.unknown("the question was not sent")
	case missing != nil && missing.hook == last.hook:
		return e.dropped(ctx, p, last, "the question")
	case last.hook == nft.Output:
		return e.unknown("the question was routed elsewhere after hook output, where chains of type route have a say")
	case asked:
		return e.unknown("the answer was dropped before hook prerouting: by a filter of tc, an XDP program, or an nft table of family netdev for new interfaces")
	}
	return e.unknown("the question was dropped behind hook postrouting, by a filter of tc or a program of BPF")
}

// dropped names the chains between two probes.
func (e *exchange) dropped(ctx context.Context, p *probes, last *probe, what string) fault {
	return e.blame(last, e.guilty(ctx, p, last), what+" is dropped by")
}

// overwritten names the chains that change our mark.
func (e *exchange) overwritten(ctx context.Context, p *probes, last *probe) fault {
	f := e.blame(last, e.guilty(ctx, p, last), "the mark that brings the answer here is changed by")
	f.mend += fmt.Sprintf(" (or have it leave the bits %#x alone, or choose others with --mark)", e.marks.Mask)
	return f
}

// A suspect is a chain that packets pass between two probes.
type suspect struct {
	nft.ChainInfo
	rules []uint64 // handles of its rules that have counted meanwhile
}

// suspects are the chains of others at a probe's priority, which runs before them.
func (e *exchange) suspects(p *probes, at *probe) (list []suspect) {
	family := nft.IPv4
	if e.client.Is6() {
		family = nft.IPv6
	}
	for _, c := range p.chains {
		if c.Type != "" && c.Hook == at.hook && c.Priority == at.priority && !isOurs(c.Family, c.Table) &&
			(c.Family == nft.Inet || c.Family == family) {
			list = append(list, suspect{ChainInfo: c})
		}
	}
	return list
}

// guilty keeps the suspects whose policy is to drop, or whose rules count when it is
// tried once more, if there are any.
func (e *exchange) guilty(ctx context.Context, p *probes, at *probe) (some []suspect) {
	list := e.suspects(p, at)
	before := counts(p, list)
	_, _ = e.connect(ctx, retriedWithin) // as before
	after := counts(p, list)
	for i, s := range list {
		for _, r := range after[i] {
			if !slices.Contains(before[i], r) {
				s.rules = append(s.rules, r.Handle)
			}
		}
		if s.Drop || len(s.rules) > 0 {
			some = append(some, s)
		}
	}
	if len(some) == 0 {
		return list
	}
	return some
}

// counts are the rules of each suspect, with what they have counted.
func counts(p *probes, list []suspect) [][]nft.RuleInfo {
	out := make([][]nft.RuleInfo, len(list))
	for i, s := range list {
		out[i], _ = p.conn.Rules(s.Family, s.Table, s.Name) // without it there is less to tell
	}
	return out
}

// blame says which chains did something, and how they let the packet pass.
func (e *exchange) blame(at *probe, list []suspect, did string) fault {
	var names, mends []string
	for _, s := range list {
		names = append(names, s.String())
		mends = append(mends, e.pass(s.ChainInfo))
	}
	if len(list) == 0 {
		return e.blameBuiltin(at, did)
	}
	return fault{did + " " + strings.Join(names, " or "), strings.Join(mends, "; ")}
}

// String names the chain as a person finds it.
func (s suspect) String() string {
	policy := "accept"
	if s.Drop {
		policy = "drop"
	}
	text := fmt.Sprintf("chain %s of table %s %s (hook %s, priority %d, policy %s", s.Name, s.Family, s.Table, s.Hook, s.Priority, policy)
	for i, h := range s.rules {
		text += [...]string{"; counted by rule ", ", "}[min(i, 1)] + fmt.Sprintf("handle %d", h)
	}
	return text + ")"
}

// blameBuiltin is for what is there and no chain of nf_tables.
func (e *exchange) blameBuiltin(at *probe, did string) fault {
	for _, b := range builtin {
		switch {
		case b.hook != at.hook || b.priority != at.priority:
		case b.table == "":
			return fault{did + " connection tracking", "compare sysctl net.netfilter.nf_conntrack_count with nf_conntrack_max, and raise that"}
		default:
			return fault{did + fmt.Sprintf(" table %s of iptables-legacy, or a module at its place", b.table), e.passIptables("-legacy", b.table, strings.ToUpper(b.hook.String()), at.hook, at.priority)}
		}
	}
	return e.unknown(did + fmt.Sprintf(" something at hook %s behind priority %d", at.hook, at.priority))
}

// pass is a command that has a chain let the packets pass that matter here.
func (e *exchange) pass(c nft.ChainInfo) string {
	tables := []string{"raw", "mangle", "filter", "security"}
	if c.Family != nft.Inet && c.Name == strings.ToUpper(c.Hook.String()) && slices.Contains(tables, c.Table) {
		return e.passIptables("", c.Table, c.Name, c.Hook, c.Priority)
	}
	match := e.marked(e.marks.In)
	switch which(c.Hook, c.Priority) {
	case bySocket:
		match = nft.SocketTransparent()
	case byUpstream:
		match = e.marked(e.marks.Upstream)
	}
	rule := nft.Rule{match, nft.Accept()}
	if c.Hook == nft.Prerouting && c.Priority <= serverLeg {
		rule = append(nft.Rule{nft.L4Proto(nft.TCP)}, rule...)
	}
	return fmt.Sprintf("nft 'insert rule %s %s %s %s'", c.Family, c.Table, c.Name, rule)
}

func (e *exchange) passIptables(which, table, chain string, h nft.Hook, priority int) string {
	program := "iptables"
	if e.client.Is6() {
		program = "ip6tables"
	}
	return fmt.Sprintf("%s%s -t %s -I %s %s -j ACCEPT", program, which, table, chain, e.xtMatch(h, priority))
}

func (e *exchange) xtMatch(h nft.Hook, priority int) string {
	switch which(h, priority) {
	case bySocket:
		return "-p tcp -m socket --transparent"
	case byUpstream:
		return fmt.Sprintf("-m mark --mark %#x/%#x", e.marks.Upstream, e.marks.Mask)
	}
	return fmt.Sprintf("-m mark --mark %#x/%#x", e.marks.In, e.marks.Mask)
}

// What packets of ours are known by, at a place.
const (
	byIn       = iota // the mark of what is brought
	bySocket          // their socket: they have no mark yet
	byUpstream        // their socket's mark
)

func which(h nft.Hook, priority int) int {
	switch {
	case h == nft.Output || h == nft.Postrouting:
		return byUpstream
	case h == nft.Prerouting && priority <= serverLeg:
		return bySocket
	}
	return byIn
}

// unknown is for what has to be looked at by a person.
func (e *exchange) unknown(what string) fault {
	return fault{what, fmt.Sprintf("follow it while transom starts, from %s to %s: "+
		"nft 'add table inet look; add chain inet look in { type filter hook prerouting priority -500; }; add rule inet look in iifname %q meta nftrace set 1'; "+
		"nft monitor trace; nft delete table inet look", e.server.Addr(), e.client, cableNear)}
}
