package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"transom"
	"transom/egress"
	"transom/platform/steer"
)

// findTranslations looks whether servers will see the addresses that we are to
// assume. That can't be said of a firewall that can't be read, which is no reason
// not to begin.
func (f *gatewayFlags) findTranslations(p *transom.Proxy) {
	if !p.Steering.Spoof {
		return
	}
	from := p.Spoof.From
	if a := p.Spoof.Addr(); p.Spoof.Mode() == egress.SpoofFixed {
		from = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
	}
	var err error
	if f.translated, err = steer.Translations(p.Steering, from); err != nil {
		p.Log.Debug("it is not known whether servers see the addresses that are assumed", "err", err)
	}
}

// otherThan says what translations make of the addresses that servers are to see, for
// each table.
func otherThan(list []steer.Translation) (lines []string) {
	for len(list) > 0 {
		first, families := list[0], []string{}
		list = slices.DeleteFunc(slices.Clone(list), func(t steer.Translation) bool {
			alike := t.Where == first.Where && t.Sure == first.Sure
			if alike {
				families = append(families, map[bool]string{false: "IPv4", true: "IPv6"}[t.IPv6])
			}
			return alike
		})
		if first.Sure {
			lines = append(lines, fmt.Sprintf("over %s servers see another address: %s translates it (NAT)", strings.Join(families, " and "), first.Where))
		} else {
			lines = append(lines, fmt.Sprintf("over %s servers may see another address: %s translates some (NAT)", strings.Join(families, " and "), first.Where))
		}
	}
	return lines
}
