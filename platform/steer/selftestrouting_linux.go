package steer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform/nft"
)

// undiverted is for an answer that nothing marks.
func (e *exchange) undiverted(p *probes) fault {
	whole := e.divert()
	missing := &nft.Table{Family: whole.Family, Name: whole.Name}
	var names []string
	for _, c := range whole.Chains {
		rules, err := p.conn.Rules(whole.Family, whole.Name, c.Name)
		if err == nil && len(rules) == 0 {
			missing.Chains = append(missing.Chains, c)
			names = append(names, c.Name)
		}
	}
	mend := nftCommand(missing)
	isThere := func(c nft.ChainInfo) bool { return c.Family == nft.Inet && c.Table == divertName }
	switch {
	case len(names) == 0:
		return e.unknown("table inet " + divertName + " is there, and finds no socket for the answer")
	case slices.ContainsFunc(p.chains, isThere):
		return fault{fmt.Sprintf("nothing marks the answer: chain %s of table inet %s is empty or gone", strings.Join(names, ", "), divertName), mend}
	}
	return fault{fmt.Sprintf("nothing marks the answer: table inet %s is gone, as after nft flush ruleset (with --backend iptables: chain TRANSOM_DIVERT of table mangle)", divertName), mend}
}

// nftCommand adds a table's chains and rules, in one line.
func nftCommand(t *nft.Table) string {
	text := strings.TrimSuffix(strings.ReplaceAll(t.String(), "\n\n", "\n"), "\n")
	lines := strings.NewReplacer("{\n", "{ ", ";\n", "; ", "\n", "; ").Replace(text)
	return "nft '" + strings.Join(strings.Fields(lines), " ") + "'"
}

// misrouted is for an answer that carries our mark and is not routed to this host.
func (e *exchange) misrouted() fault {
	r := &routes{netlink: e.Handle}
	family := unix.AF_INET
	if e.client.Is6() {
		family = unix.AF_INET6
	}
	there, err := r.rules(family)
	if err != nil {
		return e.unknown("its routing can't be seen: " + err.Error())
	}
	for _, w := range wantedRules(family, e.marks, false) {
		if !slices.ContainsFunc(there, func(t netlink.Rule) bool { return sameRule(w, &t) }) {
			return fault{fmt.Sprintf("a rule is missing: %s", ruleText(w)), addRuleCommand(w)}
		}
	}
	if list, err := r.routes(family); err == nil && len(list) == 0 {
		return fault{
			fmt.Sprintf("the route is missing that delivers what carries the mark to this host: table %d is empty", number),
			fmt.Sprintf("%s route add local default dev lo table %d protocol %d", ip(family), number, protocol),
		}
	}
	way, denied := e.RouteGetWithOptions(e.client.AsSlice(), &netlink.RouteGetOptions{
		IifIndex: e.near.Attrs().Index, SrcAddr: e.server.Addr().AsSlice(), Mark: e.marks.In,
	})
	if thief := e.thief(family, way); thief != nil {
		return stolen(thief)
	}
	if errors.Is(denied, unix.EXDEV) || errors.Is(denied, unix.EINVAL) {
		return e.unreturned()
	}
	return e.unknown("it is not delivered to this host, though rules and routes are as they should be")
}

// addRuleCommand is ruleText as a command.
func addRuleCommand(r *netlink.Rule) string {
	return strings.Replace(ruleText(r), fmt.Sprintf("rule %d:", r.Priority), fmt.Sprintf("rule add pref %d", r.Priority), 1) + fmt.Sprintf(" protocol %d", protocol)
}

// thief finds the rule before ours that decides about the answer; nil if ours does.
func (e *exchange) thief(family int, way []netlink.Route) *netlink.Rule {
	if len(way) > 0 && way[0].Table == number {
		return nil
	}
	list, err := again(func() ([]netlink.Rule, error) { return e.RuleList(family) })
	if err != nil {
		return nil
	}
	var first *netlink.Rule
	for i, r := range list {
		if r.Priority == 0 || r.Priority >= prefSkip || !e.concerns(&list[i]) {
			continue
		}
		list[i].Family = family
		if len(way) > 0 && r.Table == way[0].Table {
			return &list[i]
		}
		if first == nil && len(way) == 0 {
			first = &list[i]
		}
	}
	return first
}

// concerns reports whether a rule holds for the answer, as far as can be told.
func (e *exchange) concerns(r *netlink.Rule) bool {
	holds := (r.IifName == "" || r.IifName == cableNear) && r.OifName == "" &&
		(r.Mask == nil || e.marks.In&*r.Mask == r.Mark) &&
		inNetwork(r.Src, e.server.Addr()) && inNetwork(r.Dst, e.client)
	return holds != r.Invert
}

func stolen(r *netlink.Rule) fault {
	f := fault{
		what: fmt.Sprintf("%s comes before transom's, and has the answer", strings.TrimSuffix(ruleText(r), " nop")),
		mend: fmt.Sprintf("%s rule del pref %d, or give it a preference above %d", ip(r.Family), r.Priority, prefEnd),
	}
	if r.Mask != nil {
		f.mend += ", or choose other bits than its with --mark"
	}
	return f
}

// unreturned is for what the kernel refuses because it would send nothing back by
// the interface that it came in by.
func (e *exchange) unreturned() fault {
	read := func(key string) string {
		s, err := openSettings()
		if err != nil {
			return "?"
		}
		defer s.close()
		v, err := s.read("ipv4/conf/" + key)
		if err != nil {
			return "?"
		}
		return v
	}
	return fault{
		fmt.Sprintf("the kernel looks for the way back to %s, and drops what does not come from there (net.ipv4.conf.all.rp_filter = %s, default.rp_filter = %s, all.src_valid_mark = %s)",
			e.server.Addr(), read("all/rp_filter"), read("default/rp_filter"), read("all/src_valid_mark")),
		"sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0, or change the rule that keeps it from being found, see ip rule",
	}
}

// inNetwork reports whether an address is in a network, of which nil is all.
func inNetwork(n *net.IPNet, a netip.Addr) bool { return n == nil || n.Contains(a.AsSlice()) }
