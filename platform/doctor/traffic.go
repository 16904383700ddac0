package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"transom/platform"
)

// Traffic is what passed while it was watched. Lists are of addresses of devices, in
// order.
type Traffic struct {
	Through    []netip.Addr // who sends through this host
	Captured   []netip.Addr // who opens connections to captured ports
	Aside      []netip.Addr // who is on the clients' networks and sends nothing through
	OneWay     []netip.Addr // whose connections go on, and whose answers do not pass here
	Unanswered []netip.Addr // who asks again and again
	Unreturned []netip.Addr // for whom we ask servers by their addresses, in vain
	QUIC       []netip.AddrPort
	// Redirects counts the ICMP redirects that this host has sent, by interface.
	Redirects map[string]int
	// Strays are devices whose packets come in by another interface than what is
	// for them would leave by.
	Strays []Stray
	// Filtered is how many packets the kernel has dropped for their source meanwhile.
	Filtered int
}

// A Stray is a device that is not where routes say.
type Stray struct {
	From             netip.Addr
	Interface, Route string // where it comes in, and where it is looked for
}

// arriving is about whether there is anything to capture.
func arriving(m *Machine) []Finding {
	t := m.Traffic
	if len(m.Steering.Interfaces) == 0 {
		return nil
	}
	if t == nil {
		return m.unwatched()
	}
	var found []Finding
	if len(t.Unanswered) > 0 && m.Running != nil {
		found = append(found, Finding{
			ID: "unanswered", Level: Fault, What: "nobody answers " + few(t.Unanswered) + ", though their connections come in and are to be captured",
			Why: "something drops them here before transom has them; what else is found may be what",
		})
	}
	behind := strings.Join(m.Steering.Interfaces, ", ")
	switch {
	case len(t.Captured) > 0:
		return append(found, ok("traffic", fmt.Sprintf("%s open connections to captured ports", devicesOf(t.Captured)))...)
	case len(t.Through) > 0:
		return append(found, ok("traffic", fmt.Sprintf("%s send through this host, so far nothing to captured ports", devicesOf(t.Through)))...)
	case len(t.Aside) > 0:
		f := Finding{
			ID: "traffic", Level: Warning, What: fmt.Sprintf("nothing of what is sent behind %s, by %s, goes through this host", behind, devicesOf(t.Aside)),
			Why: "they use another gateway, or were silent: enter this host as their gateway",
		}
		if a := m.address(); a.IsValid() {
			f.Why += ", by its address " + a.String()
		}
		f.Mend = m.longer()
		return append(found, f)
	}
	return append(found, Finding{
		ID: "traffic", Level: Note, What: fmt.Sprintf("nothing came in by %s within %s", behind, m.Watch),
		Why: "devices may have been silent; watch while one of them opens a page", Mend: m.longer(),
	})
}

// unwatched says why nothing was watched.
func (m *Machine) unwatched() []Finding {
	if m.Raw && m.Watch == 0 {
		return nil
	}
	return m.unseen("traffic", "whether traffic arrives")
}

// longer is the command that watches for longer.
func (m *Machine) longer() string {
	words := strings.Fields(m.again())
	if i := slices.Index(words, "--watch"); i >= 0 && i+1 < len(words) {
		words = slices.Delete(words, i, i+2)
	}
	return strings.Join(words, " ") + " --watch " + max(30*time.Second, 4*m.Watch).String()
}

// address is this host's, as devices reach it.
func (m *Machine) address() netip.Addr {
	for _, name := range m.Steering.Interfaces {
		for _, a := range m.link(name).Addresses {
			if a.Addr().Is4() {
				return a.Addr()
			}
		}
	}
	return netip.Addr{}
}

// devicesOf counts devices, and names a few.
func devicesOf(list []netip.Addr) string {
	if len(list) == 1 {
		return "1 device (" + few(list) + ")"
	}
	return fmt.Sprintf("%d devices (%s)", len(list), few(list))
}

func few[T fmt.Stringer](list []T) string {
	const most = 3
	var words []string
	for _, a := range list[:min(most, len(list))] {
		words = append(words, a.String())
	}
	if len(list) > most {
		words = append(words, fmt.Sprintf("%d more", len(list)-most))
	}
	return strings.Join(words, ", ")
}

// quic is about what goes past by UDP.
func quic(m *Machine) []Finding {
	if m.Traffic == nil {
		return nil
	}
	if len(m.Traffic.QUIC) == 0 {
		return ok("quic", "no QUIC goes past")
	}
	f := Finding{
		ID: "quic", Level: Warning, What: "QUIC goes past to " + few(m.Traffic.QUIC) + ", and is not seen",
		Why: "what is refused comes by TCP at once: transom gateway does so unless by --quic pass",
	}
	if m.Running == nil && m.Steering.RejectQUIC {
		f.Level, f.Why = Note, "transom gateway refuses it, so that it comes by TCP at once"
		f.Mend = m.gateway()
		return []Finding{f}
	}
	if port := (platform.PortRange{First: 443, Last: 443}); len(m.Steering.UDPPorts) == 0 || !slices.Contains(m.Steering.UDPPorts, port) {
		f.Mend = fmt.Sprintf("nft 'add table inet no_quic; add chain inet no_quic forward { type filter hook forward priority -10; }; add rule inet no_quic forward iifname %s udp dport 443 reject'", quoted(m.Steering.Interfaces))
	}
	return []Finding{f}
}

// quoted writes names of interfaces as nft has them.
func quoted(names []string) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = `"` + n + `"`
	}
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// asymmetry is about answers that do not come by here: connections with a device's
// address then have none.
func asymmetry(m *Machine) []Finding {
	if m.Traffic == nil {
		return nil
	}
	none := m.gateway("--spoof-source", "none")
	switch t := m.Traffic; {
	case len(t.Unreturned) > 0:
		return []Finding{{
			ID: "asymmetric", Level: Warning, What: "servers' answers to " + few(t.Unreturned) + " do not come back by this host",
			Why: "transom goes on with its own address once it has noticed; without theirs from the start there is no delay", Mend: none,
		}}
	case len(t.OneWay) > 0 && m.Steering.Spoof:
		return []Finding{{
			ID: "asymmetric", Level: Warning, What: "what " + few(t.OneWay) + " send passes this host, and what servers answer does not",
			Why: "answers to a device's address take another way; with this host's address they come back here", Mend: none,
		}}
	case len(t.OneWay) > 0:
		return []Finding{{ID: "asymmetric", Level: Note, What: "what servers answer to " + few(t.OneWay) + " does not pass this host", Why: "that does no harm, since servers see this host's address"}}
	}
	return ok("asymmetric", "answers come back by this host")
}
