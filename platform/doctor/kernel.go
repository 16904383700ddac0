package doctor

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"transom/platform"
)

// capabilities is about the rights that a gateway takes.
func capabilities(m *Machine) []Finding {
	switch {
	case m.Running != nil, m.Admin && m.Raw:
		return ok("capabilities", "there are the rights that steering takes")
	case m.Root:
		return []Finding{{
			ID: "capabilities", Level: Fault, What: "root has no CAP_NET_ADMIN or no CAP_NET_RAW here, as in a container",
			Why: "start the container with --cap-add NET_ADMIN --cap-add NET_RAW",
		}}
	}
	return []Finding{{
		ID: "capabilities", Level: Note, What: "transom gateway takes root, or CAP_NET_ADMIN and CAP_NET_RAW; transom run takes neither",
		Mend: "sudo " + m.gateway(),
	}}
}

// A Way is a method to capture by, and why it can't be had.
type Way struct {
	Method platform.Method
	Err    error
}

// kernel is about what the kernel lacks, or has against what would be put in force.
func kernel(m *Machine) []Finding {
	if len(m.Ways) == 0 {
		return nil // there was no right to try, or a transom runs by it
	}
	var broken []Way
	for _, w := range m.Ways {
		if w.Err == nil {
			break
		}
		broken = append(broken, w)
	}
	if len(broken) == 0 {
		return ok("kernel", fmt.Sprintf("the kernel has all that capturing by %s takes", m.Ways[0].Method))
	}
	first := broken[0]
	f := Finding{ID: "kernel", Level: Fault, What: fmt.Sprintf("capturing by %s fails: %v", first.Method, first.Err), Mend: cmp.Or(m.modprobe(first.Err), delRule(first.Err), legacy(first.Err))}
	if len(broken) < len(m.Ways) {
		f.Level, f.Why = Warning, fmt.Sprintf("connections would be captured by %s", m.Ways[len(broken)].Method)
	} else if m.IPTables && unsupported(first.Err) {
		f.Level, f.Why = Warning, "transom gateway tries --backend iptables next"
	} else if len(broken) > 1 && broken[1].Err.Error() != first.Err.Error() {
		f.Why = fmt.Sprintf("nor does %s work: %v", broken[1].Method, broken[1].Err)
	}
	return []Finding{f}
}

// modprobe is the command that an error names.
func (m *Machine) modprobe(err error) string {
	_, rest, _ := strings.Cut(err.Error(), "modprobe ")
	var names []string
	for _, w := range strings.FieldsFunc(rest, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' }) {
		if strings.HasPrefix(w, "nf_") || strings.HasPrefix(w, "nft_") {
			names = append(names, w)
		}
	}
	if len(names) == 0 {
		return ""
	}
	if m.Container {
		return "" // its modules are the host's
	}
	return "modprobe -a " + strings.Join(names, " ")
}

// delRule is the command against a rule of routing that stands where ours would.
func delRule(err error) string {
	program, rest, ok := strings.Cut(err.Error(), " rule ")
	number, _, named := strings.Cut(rest, ":")
	if _, bad := strconv.Atoi(number); !ok || !named || bad != nil || program != "ip" && program != "ip -6" {
		return ""
	}
	return program + " rule del pref " + number
}

// legacy are the commands for iptables-legacy that an error names.
func legacy(err error) string {
	_, commands, _ := strings.Cut(err.Error(), " or first ")
	if !strings.HasPrefix(commands, "iptables-legacy ") && !strings.HasPrefix(commands, "ip6tables-legacy ") {
		return ""
	}
	return commands
}

// leftovers is about what a run has left that was killed.
func leftovers(m *Machine) []Finding {
	if m.Running != nil || len(m.Left) == 0 {
		return nil
	}
	return []Finding{{
		ID: "leftovers", Level: Warning, What: "an earlier transom was killed, and has left: " + few(texts(m.Left)),
		Why: "the next start takes it over; until then it may be in the way", Mend: "transom cleanup",
	}}
}

type text string

func (t text) String() string { return string(t) }

func texts(list []string) []text {
	out := make([]text, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}

// bridges is about bridges that show what they carry to the chains of IP. Rules of
// nftables have an answer to that.
func bridges(m *Machine) []Finding {
	if len(m.Bridges) == 0 {
		return nil
	}
	f := Finding{
		ID: "bridge-nf", Level: OK, What: "bridges show what they carry to rules (" + strings.Join(m.Bridges, ", ") + "), which is no obstacle to nftables",
	}
	if m.Backend == "iptables" && m.tproxies() && !slices.Contains(m.Methods, platform.Redirect) {
		f.Level, f.Mend = Fault, strings.Join(m.BridgeMends, " && ")
		f.What = "TPROXY by iptables loses what comes by a bridge while " + strings.Join(m.Bridges, ", ") + " is on, as Docker has it"
		f.Why = "--backend nft, or --method redirect, do without"
	}
	return []Finding{f}
}

// offloads is about what takes packets before any rule does.
func offloads(m *Machine) (found []Finding) {
	for _, t := range m.Flowtables {
		f := Finding{
			ID: "offload", Level: Note, What: "flowtable " + t + " carries open connections past all rules",
			Why: "connections that were open before transom began are not seen, and QUIC that was is not refused, until devices open new ones",
		}
		if strings.Contains(t, " fw4 ") {
			f.Mend = "uci set firewall.@defaults[0].flow_offloading=0 && uci set firewall.@defaults[0].flow_offloading_hw=0 && uci commit firewall && service firewall restart"
		}
		found = append(found, f)
	}
	for _, name := range m.XDP {
		found = append(found, Finding{
			ID: "offload", Level: Warning, What: "an XDP program at " + name + " sees packets before all rules, and may take them",
			Mend: "ip link set dev " + name + " xdp off",
		})
	}
	return found
}

// namespaces is about transom run, which needs none of all this.
func namespaces(m *Machine) []Finding {
	if m.Namespaces == nil {
		return ok("namespaces", "transom run captures a program without root")
	}
	return []Finding{{
		ID: "namespaces", Level: Note, What: "transom run does not work without root: " + m.Namespaces.Error(),
		Why: "sudo transom run does it another way", Mend: m.NamespacesMend,
	}}
}

// unsupported reports whether another method may do.
func unsupported(err error) bool { return errors.Is(err, platform.ErrUnsupported) }
