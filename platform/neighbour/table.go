package neighbour

import (
	"net/netip"
	"slices"
)

// A link is who has an address, on which interface.
type link struct {
	mac   mac
	index int
	sure  bool // the kernel has reached it there not long ago
}

// News is that an address has a link, or has none any more.
type news struct {
	addr netip.Addr // plain
	link
	gone bool
}

// A table is the kernel's, by address and by device.
type table struct {
	links   map[netip.Addr]link
	devices map[mac][]netip.Addr // the first is known for longest
}

func newTable() table {
	return table{links: map[netip.Addr]link{}, devices: map[mac][]netip.Addr{}}
}

// take takes news in. An address that is on two links is believed to be where the kernel
// has reached it, or else where it is new.
func (t *table) take(n news) {
	old, known := t.links[n.addr]
	switch {
	case n.gone && known && old.index == n.index:
		t.forget(n.addr)
	case n.gone || known && old.index != n.index && old.sure && !n.sure:
	case known && old.mac == n.mac:
		t.links[n.addr] = n.link
	default:
		t.forget(n.addr)
		t.add(n.addr, n.link)
	}
}

// add makes room if there is none: some other address is found again when it is asked for.
func (t *table) add(a netip.Addr, l link) {
	if len(t.links) >= addressesMost {
		for other := range t.links {
			t.forget(other)
			break
		}
	}
	if _, known := t.devices[l.mac]; !known && len(t.devices) >= devicesMost {
		for m := range t.devices {
			t.lose(m)
			break
		}
	}
	if has := t.devices[l.mac]; len(has) >= ofOneMost {
		t.forget(has[0])
	}
	t.links[a] = l
	t.devices[l.mac] = append(t.devices[l.mac], a)
}

// of returns a client's address, and then the other ones of its device, the newest first:
// of IPv4, of which it has had others before, that alone.
func (t *table) of(m mac, client netip.Addr) []netip.Addr {
	all := append(make([]netip.Addr, 0, 1+len(t.devices[m])), client)
	four := client.Is4()
	for _, a := range slices.Backward(t.devices[m]) {
		if a == client || a.Is4() && four {
			continue
		}
		four = four || a.Is4()
		all = append(all, a)
	}
	return all
}

func (t *table) forget(a netip.Addr) {
	l, known := t.links[a]
	if !known {
		return
	}
	delete(t.links, a)
	left := slices.DeleteFunc(t.devices[l.mac], func(b netip.Addr) bool { return a == b })
	if t.devices[l.mac] = left; len(left) == 0 {
		delete(t.devices, l.mac)
	}
}

// lose forgets a device.
func (t *table) lose(m mac) {
	for _, a := range t.devices[m] {
		delete(t.links, a)
	}
	delete(t.devices, m)
}

// replace makes the table what a list says.
func (t *table) replace(list []news) {
	listed := make(map[netip.Addr]struct{}, len(list))
	for i := range list {
		listed[list[i].addr] = struct{}{}
	}
	for a := range t.links {
		if _, ok := listed[a]; !ok {
			t.forget(a)
		}
	}
	for i := range list {
		t.take(list[i])
	}
}
