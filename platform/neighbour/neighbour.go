// Package neighbour finds out which device a client is that shares a network with this
// host: its hardware address, as the kernel has it, and its name, as this host's own files
// or the name server have it, or as the device has announced it itself. Nobody waits for
// it, and none of it is proof: a device chooses its name, and may choose its hardware
// address. It looks at no traffic but what devices announce to everybody.
package neighbour

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Sources say where names are taken from. The hardware address is looked for in any case.
type Sources struct {
	Leases bool // of DHCP servers on this host
	Hosts  bool // /etc/hosts
	MDNS   bool // what devices announce on Options.Interfaces
	DNS    bool // what the system's resolver says of private addresses
}

// Options say how a Watch looks.
type Options struct {
	Sources
	Interfaces []string              // that devices are behind
	Own        func(netip.Addr) bool // this host's addresses, which are no device's; nil is none
	Log        *slog.Logger          // nil is silence
}

// Bounds of what is remembered and of what is asked.
const (
	devicesMost   = 4096
	addressesMost = 4 * devicesMost
	ofOneMost     = 32   // addresses of one device
	asksMost      = 1024 // that wait; of more the youngest go without what has to be found out
	lookupsMost   = 64   // in the resolver's queue
)

// How long things are believed, and how often they are looked at.
const (
	filesEvery  = 2 * time.Second        // files are looked at so often, while somebody asks
	listEvery   = 250 * time.Millisecond // the kernel's table is listed so often, likewise
	strangerFor = 10 * time.Second       // an address that the kernel doesn't know
	lookupMost  = 700 * time.Millisecond // a question to the resolver
	lookupEvery = 100 * time.Millisecond // and the time between two
	restFor     = 30 * time.Second       // after one that had no answer at all
	namedFor    = 10 * time.Minute       // what came of it
	heardMost   = 2 * time.Hour          // an announcement
)

// How a name is known, see flow.Device.
const (
	byDHCP  = "dhcp"
	byHosts = "hosts"
	byMDNS  = "mdns"
	byDNS   = "dns"
)

// A mac is an Ethernet address.
type mac [6]byte

// String is in lower case, with colons.
func (m mac) String() string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, 17)
	for i, c := range m {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return string(b)
}

// one reports whether m may be one device's: neither nobody's nor a group's.
func (m mac) one() bool { return m != mac{} && m[0]&1 == 0 }

// macOf reads a hardware address that may be somebody's.
func macOf(b []byte) (mac, bool) {
	if len(b) != len(mac{}) {
		return mac{}, false
	}
	m := mac(b)
	return m, m.one()
}

// parseMAC reads what a file says, with one or two digits an octet.
func parseMAC(text string) (m mac, ok bool) {
	for i := range m {
		digits, rest, more := strings.Cut(text, ":")
		if len(digits) == 0 || len(digits) > 2 || more != (i < len(m)-1) {
			return mac{}, false
		}
		for _, c := range []byte(digits) {
			d := strings.IndexByte("0123456789abcdef", c|0x20)
			if d < 0 {
				return mac{}, false
			}
			m[i] = m[i]<<4 | byte(d)
		}
		text = rest
	}
	return m, m.one()
}

// plain is an address as the tables have it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// nameMost is how many bytes of a name are kept.
const nameMost = 128

// clean makes a name fit to be shown: it is a device's to choose. "" is none.
func clean(name string) string {
	name = name[:min(len(name), 4*nameMost)]
	var b strings.Builder
	for _, r := range name {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			continue
		}
		if b.Len()+utf8.RuneLen(r) > nameMost {
			break
		}
		b.WriteRune(r)
	}
	name = strings.TrimRight(strings.TrimLeft(b.String(), " "), " .")
	if _, err := netip.ParseAddr(name); err == nil || name == "*" {
		return "" // an address says nothing, and may be somebody else's
	}
	return name
}
