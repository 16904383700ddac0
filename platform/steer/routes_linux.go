package steer

import (
	"errors"
	"fmt"
	"net"
	"slices"

	diag "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform"
)

// Preferences of our rules.
const (
	prefSkip   = number     // what this host sends is not routed by our mark ...
	prefLookup = number + 1 // ... and what comes in is: to this host
	prefEnd    = number + 2
)

// actionNop is FR_ACT_NOP of linux/fib_rules.h.
const actionNop = 3

// routes deliver packets that carry our mark to this host, whatever their
// destination.
//
// The rules name no interfaces, so that one that appears later is served; but
// they must not hold for what has no interface to come in by. With
// src_valid_mark, the kernel looks up the way back to a packet's source with the
// packet's mark: if that led to this host it would refuse the packet, in
// silence. Such a look-up is as from lo. Where this host's own datagrams are to come
// back to it there are no others with the mark, and the first rule is left out.
type routes struct {
	netlink *netlink.Handle
	sockets *diag.Conn // for sweep; nil if the kernel lets nobody look at sockets
}

func openRoutes() (*routes, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open a routing socket: %w", err)
	}
	r := &routes{netlink: h}
	if c, err := diag.Dial(unix.NETLINK_SOCK_DIAG, nil); err == nil {
		r.sockets = c
	}
	return r, nil
}

func (r *routes) close() {
	r.netlink.Close()
	if r.sockets != nil {
		_ = r.sockets.Close() // nothing is under way
	}
}

// families returns the address families to serve.
func addressFamilies(ipv6 bool) []int {
	if ipv6 {
		return []int{unix.AF_INET, unix.AF_INET6}
	}
	return []int{unix.AF_INET}
}

// wantedRules are our rules for a family; loops says that they hold for what this
// host sends as well.
func wantedRules(family int, m platform.Marks, loops bool) []*netlink.Rule {
	list := make([]*netlink.Rule, 3)
	for i := range list {
		mask := m.Mask
		list[i] = netlink.NewRule()
		list[i].Family, list[i].Priority, list[i].Protocol = family, prefSkip+i, protocol
		if i < 2 {
			list[i].Mark, list[i].Mask = m.In, &mask
		}
	}
	list[0].IifName, list[0].Goto = "lo", prefEnd
	list[1].Table = number
	list[2].Type = actionNop
	if loops {
		return list[1:]
	}
	return list
}

// add puts rules and routes in force that are not, and names them.
func (r *routes) add(m platform.Marks, loops, ipv6 bool) (added []string, err error) {
	lo, err := r.netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find lo: %w", err)
	}
	for _, family := range addressFamilies(ipv6) {
		route := &netlink.Route{
			Family: family, Dst: everything(family), LinkIndex: lo.Attrs().Index,
			Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Table: number, Protocol: protocol,
		}
		switch err := r.netlink.RouteAdd(route); {
		case err == nil:
			added = append(added, routeText(route))
		case !errors.Is(err, unix.EEXIST):
			return added, fmt.Errorf("add a route (%s): %w", routeText(route), err)
		}
		rules, err := r.addRules(family, m, loops)
		if added = append(added, rules...); err != nil {
			return added, err
		}
	}
	return added, nil
}

func (r *routes) addRules(family int, m platform.Marks, loops bool) (added []string, err error) {
	there, err := r.rules(family)
	if err != nil {
		return nil, err
	}
	wanted := wantedRules(family, m, loops)
	for i := range there { // of other marks
		if !slices.ContainsFunc(wanted, func(w *netlink.Rule) bool { return sameRule(w, &there[i]) }) {
			if err := r.del(&there[i]); err != nil {
				return nil, err
			}
		}
	}
	for _, w := range wanted {
		if slices.ContainsFunc(there, func(t netlink.Rule) bool { return sameRule(w, &t) }) {
			continue
		}
		if err := r.netlink.RuleAdd(w); err != nil {
			return added, fmt.Errorf("add a rule (%s): %w", ruleText(w), err)
		}
		added = append(added, ruleText(w))
	}
	return added, nil
}

// sameMarks reports whether the rules that are there, if any, are for m.
func (r *routes) sameMarks(m platform.Marks) bool {
	there, err := r.rules(unix.AF_INET)
	return err == nil && !slices.ContainsFunc(there, func(x netlink.Rule) bool {
		return x.Priority == prefLookup && (x.Mark != m.In || x.Mask == nil || *x.Mask != m.Mask)
	})
}

func sameRule(a, b *netlink.Rule) bool {
	mask := func(r *netlink.Rule) uint32 {
		if r.Mask == nil {
			return 0
		}
		return *r.Mask
	}
	return a.Priority == b.Priority && a.Mark == b.Mark && mask(a) == mask(b) && a.IifName == b.IifName && a.Goto == b.Goto && a.Protocol == b.Protocol
}

// remove takes rules and routes back, and what a test has left.
func (r *routes) remove() error {
	errs := []error{removeCable(r.netlink)}
	for _, family := range addressFamilies(true) {
		rules, err := r.rules(family)
		errs = append(errs, err)
		for i := range rules {
			errs = append(errs, r.del(&rules[i]))
		}
		routes, err := r.routes(family)
		errs = append(errs, err)
		for i := range routes {
			if err := r.netlink.RouteDel(&routes[i]); err != nil && !errors.Is(err, unix.ESRCH) {
				errs = append(errs, fmt.Errorf("remove a route (%s): %w", routeText(&routes[i]), err))
			}
		}
	}
	return errors.Join(errs...)
}

// lines describes our rules and routes, one line each, and what a test has left.
func (r *routes) lines() (list []string, err error) {
	for _, family := range addressFamilies(true) {
		rules, err := r.rules(family)
		if err != nil {
			return nil, err
		}
		for i := range rules {
			list = append(list, ruleText(&rules[i]))
		}
		routes, err := r.routes(family)
		if err != nil {
			return nil, err
		}
		for i := range routes {
			routes[i].Family = family
			list = append(list, routeText(&routes[i]))
		}
	}
	cable, err := findCable(r.netlink)
	if cable != nil {
		list = append(list, "interface "+cableNear+", of a test")
	}
	return list, err
}

func (r *routes) del(rule *netlink.Rule) error {
	if err := r.netlink.RuleDel(rule); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove a rule (%s): %w", ruleText(rule), err)
	}
	return nil
}

// rules returns our rules of a family.
func (r *routes) rules(family int) ([]netlink.Rule, error) {
	return r.rulesAtOurs(family, func(p uint8) bool { return p == protocol })
}

// rulesAtOurs returns the rules at our preferences, made by some.
func (r *routes) rulesAtOurs(family int, by func(protocol uint8) bool) ([]netlink.Rule, error) {
	list, err := again(func() ([]netlink.Rule, error) { return r.netlink.RuleList(family) })
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	list = slices.DeleteFunc(list, func(x netlink.Rule) bool {
		return x.Priority < prefSkip || x.Priority > prefEnd || !by(x.Protocol)
	})
	for i := range list {
		list[i].Family = family
	}
	return list, nil
}

// routes returns the routes in our table that we made.
func (r *routes) routes(family int) ([]netlink.Route, error) {
	return r.routesInOurs(family, func(p netlink.RouteProtocol) bool { return p == protocol })
}

func (r *routes) routesInOurs(family int, by func(netlink.RouteProtocol) bool) ([]netlink.Route, error) {
	list, err := again(func() ([]netlink.Route, error) {
		return r.netlink.RouteListFiltered(family, &netlink.Route{Table: number}, netlink.RT_FILTER_TABLE)
	})
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return slices.DeleteFunc(list, func(x netlink.Route) bool { return !by(x.Protocol) }), nil
}

// again reads a list that changed while it was read once more, a few times.
func again[T any](list func() (T, error)) (out T, err error) {
	for range 10 {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return out, err
}

// absent reports whether err says that the kernel lacks the family.
func absent(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP)
}

// everything is the destination of a default route.
func everything(family int) *net.IPNet {
	size := 4
	if family == unix.AF_INET6 {
		size = 16
	}
	return &net.IPNet{IP: make(net.IP, size), Mask: make(net.IPMask, size)}
}

// ip is how a command of the ip program begins.
func ip(family int) string {
	if family == unix.AF_INET6 {
		return "ip -6"
	}
	return "ip"
}

// ruleText describes a rule in the ip program's words.
func ruleText(r *netlink.Rule) string {
	text := fmt.Sprintf("%s rule %d:", ip(r.Family), r.Priority)
	if r.IifName != "" {
		text += " iif " + r.IifName
	}
	if r.Mask != nil && r.Mark != 0 {
		text += fmt.Sprintf(" fwmark %#x/%#x", r.Mark, *r.Mask)
	}
	switch {
	case r.Goto > 0:
		text += fmt.Sprintf(" goto %d", r.Goto)
	case r.Table > 0:
		text += fmt.Sprintf(" lookup %d", r.Table)
	default:
		text += " nop"
	}
	return text
}

// routeText describes a route in the ip program's words.
func routeText(r *netlink.Route) string {
	dst := "default"
	if r.Dst != nil && r.Dst.String() != everything(r.Family).String() {
		dst = r.Dst.String()
	}
	return fmt.Sprintf("%s route table %d: local %s", ip(r.Family), r.Table, dst)
}
