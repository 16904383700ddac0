package neighbour

import (
	"net/netip"
	"time"
)

// A name is what a device is called, and how that is known.
type name struct {
	text string
	by   string
}

// written are the names that files have.
type written struct {
	devices map[mac]string
	leased  map[netip.Addr]lease
	hosts   map[netip.Addr]string
}

// merge reads them out of files. Of two the one of the earlier place is taken, and within
// one the later.
func merge(leases, hosts *files) written {
	w := written{map[mac]string{}, map[netip.Addr]lease{}, map[netip.Addr]string{}}
	for i := len(leases.order) - 1; i >= 0; i-- {
		for _, l := range leases.all[leases.order[i]].leases {
			if l.name == "" { // it is over
				continue
			}
			w.leased[l.addr] = l
			if l.mac.one() {
				w.devices[l.mac] = l.name
			}
		}
	}
	for _, path := range hosts.order {
		for _, l := range hosts.all[path].leases {
			if _, known := w.hosts[l.addr]; !known {
				w.hosts[l.addr] = l.name
			}
		}
	}
	return w
}

// said is a name that somebody has said of an address, for as long as it is believed.
type said struct {
	text  string // "" if there is none
	until time.Time
}

// remembered are such, up to devicesMost.
type remembered map[netip.Addr]said

// set makes room if there is none.
func (r remembered) set(a netip.Addr, s said) {
	if _, known := r[a]; !known && len(r) >= devicesMost {
		for other := range r {
			delete(r, other)
			break
		}
	}
	r[a] = s
}

func (r remembered) get(a netip.Addr, now time.Time) (s said, ok bool) {
	s, ok = r[a]
	return s, ok && now.Before(s.until)
}

// known is everything that is known of names.
type known struct {
	written
	heard  remembered // mDNS
	looked remembered // DNS
}

// best is the best name of a device that has these addresses, of which the first is the
// client's; on is whether m is its hardware address, or there is none.
func (k *known) best(m mac, on bool, addrs []netip.Addr, now time.Time) (n name, ok bool) {
	if text := k.devices[m]; on && text != "" {
		return name{text, byDHCP}, true
	}
	for _, a := range addrs {
		// Who has the lease of an address isn't who uses it if the hardware is another's.
		if l, ok := k.leased[a]; ok && (l.mac == mac{} || !on) {
			return name{l.name, byDHCP}, true
		}
	}
	for _, a := range addrs {
		if text := k.hosts[a]; text != "" {
			return name{text, byHosts}, true
		}
	}
	if !on {
		return name{}, false
	}
	for _, a := range addrs {
		if s, ok := k.heard.get(a, now); ok && s.text != "" {
			return name{s.text, byMDNS}, true
		}
	}
	for _, a := range addrs {
		if s, ok := k.looked.get(a, now); ok && s.text != "" {
			return name{s.text, byDNS}, true
		}
	}
	return name{}, false
}

// askable is the address of a device that the resolver may be asked for, and hasn't been:
// a private one, which says nothing to those who keep the world's names.
func (k *known) askable(addrs []netip.Addr, now time.Time) (netip.Addr, bool) {
	var first netip.Addr
	for _, a := range addrs {
		if !a.IsPrivate() {
			continue
		}
		if _, ok := k.looked.get(a, now); ok {
			return netip.Addr{}, false // one answer is enough
		}
		if !first.IsValid() {
			first = a
		}
	}
	return first, first.IsValid()
}
