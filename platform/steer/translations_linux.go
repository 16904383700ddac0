package steer

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"transom/platform"
	"transom/platform/nft"
)

// Translations finds what this host's firewalls do to connections that transom opens
// to servers for clients, whose addresses are in some networks. A connection is
// taken to leave by a default route. It takes CAP_NET_ADMIN.
func Translations(s platform.Steering, clients []netip.Prefix) ([]Translation, error) {
	out, err := waysOut()
	if err != nil {
		return nil, err
	}
	mark := s.Marks.OrDefault().Upstream
	var list []Translation
	for _, ipv6 := range []bool{false, true} {
		l := &leaving{ipv6: ipv6, out: out[ipv6], mark: mark}
		for _, p := range clients {
			if p.Addr().Is6() == ipv6 {
				l.from = append(l.from, p)
			}
		}
		if len(l.out) == 0 || len(l.from) == 0 {
			continue
		}
		byNFT, err1 := l.byNFT()
		byLegacy, err2 := l.byLegacy()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		list = slices.Concat(list, byNFT, byLegacy)
	}
	return list, nil
}

// waysOut are the interfaces that default routes leave by, for IPv4 and for IPv6.
func waysOut() (map[bool][]device, error) {
	routes, err := mainRoutes()
	if err != nil {
		return nil, err
	}
	out := map[bool][]device{}
	for _, r := range routes {
		if !isDefault(r) {
			continue
		}
		ipv6, by := r.Family == netlink.FAMILY_V6, []int{r.LinkIndex}
		for _, hop := range r.MultiPath {
			by = append(by, hop.LinkIndex)
		}
		for _, index := range by {
			link, err := netlink.LinkByIndex(index)
			if err != nil {
				continue // just gone, or 0
			}
			if d := (device{link.Attrs().Name, index}); !slices.Contains(out[ipv6], d) {
				out[ipv6] = append(out[ipv6], d)
			}
		}
	}
	return out, nil
}

// byNFT looks into nf_tables, where rules of newer iptables are as well.
func (l *leaving) byNFT() ([]Translation, error) {
	conn, err := nft.Dial()
	if err != nil {
		return nil, nil // there is none here
	}
	defer conn.Close()
	chains, err := conn.Chains()
	if err != nil {
		return nil, fmt.Errorf("look for translations of addresses: %w", err)
	}
	family := nft.IPv4
	if l.ipv6 {
		family = nft.IPv6
	}
	var list []Translation
	for _, c := range chains {
		if c.Type != "nat" || c.Hook != nft.Postrouting || c.Family != family && c.Family != nft.Inet || isOurs(c.Family, c.Table) {
			continue
		}
		rules, err := conn.Readings(c.Family, c.Table)
		if err != nil {
			return nil, fmt.Errorf("look for translations of addresses: %w", err)
		}
		of := map[string][]nft.Reading{}
		for _, r := range rules {
			of[r.Chain] = append(of[r.Chain], r)
		}
		list = l.found(list, fmt.Sprintf("nft table %s %s", c.Family, c.Table), func(chain string) []nft.Reading { return of[chain] }, c.Name)
	}
	return list, nil
}

// found adds what a walk comes to.
func (l *leaving) found(list []Translation, where string, rules func(chain string) []nft.Reading, chain string) []Translation {
	w := walk{l, rules, map[string]passed{}}
	if source, _ := w.chain(chain, 0); source != no {
		list = append(list, Translation{where, l.ipv6, source == yes})
	}
	return list
}

// byLegacy looks into the tables of old iptables.
func (l *leaving) byLegacy() ([]Translation, error) {
	tables, err := legacyTables("nat")
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("look for translations of addresses: %w", err)
	}
	var list []Translation
	for _, t := range tables {
		if t.ipv6() == l.ipv6 {
			list = l.found(list, t.program+" -t nat", t.readings, fmt.Sprint(t.first[nft.Postrouting]))
		}
	}
	return list, nil
}
