package steer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/nft"
)

// Check finds, before anything is changed, what Apply(want) would fail of. Its
// one error says what, where, and what to do.
func (k *Kernel) Check(ctx context.Context, want platform.Steering) error {
	if err := want.Check(); err != nil || want.IsZero() {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	t := steeringOf(want)
	if err := k.interfaces(t.ifaces); err != nil {
		return err
	}
	if _, err := k.ourTables(); err != nil {
		return err
	}
	if err := k.tryLocked(want); err != nil {
		return err
	}
	if err := errors.Join(ownersAllow(k.rules, t), legacyAllows(k.legacy, t)); err != nil {
		return err
	}
	if t.diverts() {
		if err := k.routing(); err != nil {
			return err
		}
	}
	return k.canSetLocked(t)
}

// interfaces looks for the interfaces that clients are to be behind.
func (g *ground) interfaces(names []string) error {
	if len(names) == 0 {
		return nil
	}
	links, err := again(g.routes.netlink.LinkList)
	if err != nil {
		return fmt.Errorf("list interfaces: %w", err)
	}
	var there []string
	for _, l := range links {
		there = append(there, l.Attrs().Name)
	}
	for _, n := range names {
		if !slices.Contains(there, n) {
			return fmt.Errorf("there is no interface %q; there are %s", n, strings.Join(there, ", "))
		}
	}
	return nil
}

// tryLocked asks the kernel about the tables.
func (k *Kernel) tryLocked(want platform.Steering) error {
	if err := k.knowOwnersLocked(); err != nil {
		return refused(err)
	}
	var b nft.Batch
	for _, t := range Tables(want) {
		t.Owned = t.Owned && !k.unowned
		b.Replace(t)
	}
	if err := k.rules.Try(&b); err != nil {
		return refused(err)
	}
	return nil
}

// refused explains what the kernel has against our tables.
func refused(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("steering packets needs CAP_NET_ADMIN: run transom as root, with sudo, or give it that capability: %w", err)
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("the kernel lacks a part of nf_tables: %w%s", err, modules(err.Error()))
	}
	return noTables(err)
}

// noTables explains that there is no nf_tables.
func noTables(err error) error {
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("this kernel has no nf_tables (modprobe nf_tables, or use iptables: --backend iptables): %w", err)
	}
	return err
}

// modules names the modules for the statements in a text.
func modules(text string) string {
	var list []string
	for _, m := range [...]struct{ word, module string }{
		{"tproxy to", "nft_tproxy (or use --method redirect)"},
		{"socket ", "nft_socket"},
		{"fib ", "nft_fib_inet"},
		{"redirect to", "nft_redir"},
		{"ct ", "nft_ct"},
		{"notrack", "nft_ct"},
		{"reject ", "nft_reject_inet"},
	} {
		if strings.Contains(text, m.word) && !slices.Contains(list, m.module) {
			list = append(list, m.module)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "; try modprobe " + strings.Join(list, ", ")
}

// routing looks for others where our rules and routes would be.
func (g *ground) routing() error {
	for _, family := range addressFamilies(true) {
		rules, err := g.routes.rulesAtOurs(family, func(p uint8) bool { return p != protocol })
		if err != nil {
			return err
		}
		if len(rules) > 0 {
			return fmt.Errorf("%s is not ours, and stands where ours would: give it another preference than %d to %d", ruleText(&rules[0]), prefSkip, prefEnd)
		}
		routes, err := g.routes.routesInOurs(family, func(p netlink.RouteProtocol) bool { return p != protocol })
		if err != nil {
			return err
		}
		if len(routes) > 0 {
			return fmt.Errorf("routing table %d has a route that is not ours (%v): move it to another table", number, routes[0].Dst)
		}
	}
	return nil
}

// canSetLocked asks whether settings that have to change can be.
func (g *ground) canSetLocked(t *steering) error {
	plan, err := g.settings.plan(t.ifaces, g.was)
	if err != nil {
		return err
	}
	for _, c := range plan {
		if _, done := find(g.was, c.key); done {
			continue
		}
		if err := g.settings.writable(c.key, c.set); err != nil {
			return err
		}
	}
	return nil
}
