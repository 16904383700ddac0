package doctor

import (
	"fmt"
	"slices"
	"strings"

	"transom/platform"
	"transom/platform/nft"
)

// A Place is where on its way a packet is that rules decide on.
type Place uint8

// Places.
const (
	Arriving  Place = iota // it opens a connection that is to be captured
	Delivered              // it was captured, and comes to our socket
	Sent                   // our socket has sent it
	Across                 // it is not captured, and is forwarded
)

// An Obstacle is what a rule of somebody else's does with a packet that matters.
type Obstacle struct {
	nft.Fate
	Place     Place
	Interface string
	Late      bool   // ours comes before, and has the packet
	Owned     bool   // nobody but its program may change the table
	ByHand    bool   // who listens there is a transom
	Listener  string // who listens where it is brought to, "" if that is not known
}

// where names the chain, and the rule in it.
func (o *Obstacle) where() string {
	text := fmt.Sprintf("chain %s of table %s %s (hook %s, priority %d)", o.Chain.Name, o.Chain.Family, o.Chain.Table, o.Chain.Hook, o.Chain.Priority)
	if o.Chain.Family == nft.Netdev {
		text = fmt.Sprintf("chain %s of table netdev %s (hook ingress of %s)", o.Chain.Name, o.Chain.Table, o.Chain.Device)
	}
	switch {
	case o.Rule.Handle == 0:
		text = "the policy of " + text
	case o.Rule.Chain != o.Chain.Name:
		text = fmt.Sprintf("rule handle %d of chain %s, which is come to by %s", o.Rule.Handle, o.Rule.Chain, text)
	default:
		text = fmt.Sprintf("rule handle %d of %s", o.Rule.Handle, text)
	}
	if who := whose(&o.Fate); who != "" {
		text += ", " + who
	}
	return text
}

// whose guesses at the program that has made a chain.
func whose(f *nft.Fate) string {
	for _, name := range []string{f.Chain.Table, f.Rule.Chain, f.Chain.Name} {
		for _, w := range [...]struct{ prefix, who string }{
			{"DOCKER", "Docker's"},
			{"firewalld", "firewalld's"},
			{"ufw", "ufw's"},
			{"fw4", "OpenWrt's"},
			{"LIBVIRT", "libvirt's"},
			{"libvirt", "libvirt's"},
			{"KUBE-", "Kubernetes'"},
			{"CILIUM", "Cilium's"},
			{"f2b-", "fail2ban's"},
			{"ts-", "Tailscale's"},
		} {
			if strings.HasPrefix(name, w.prefix) {
				return w.who
			}
		}
	}
	if f.Chain.Family != nft.Inet && f.Chain.Name == "FORWARD" && f.Chain.Drop && f.Rule.Handle == 0 {
		return "as Docker sets it"
	}
	return ""
}

// pass is the command that has the chain let pass what we need.
func (m *Machine) pass(o *Obstacle) string {
	if o.Owned {
		return ""
	}
	if m.isIPTables(o) {
		return m.passByIPTables(o)
	}
	var words []string
	switch o.Place {
	case Arriving:
		if o.Chain.Family != nft.Netdev {
			words = append(words, fmt.Sprintf("iifname %q", o.Interface))
		}
		words = append(words, nftPorts(m.Steering.Ports))
	case Delivered:
		words = append(words, nft.Mark(m.marks().In, m.marks().Mask).String())
	case Sent:
		words = append(words, nft.Mark(m.marks().Upstream, m.marks().Mask).String())
	case Across:
		in := fmt.Sprintf("insert rule %s %s %s", o.Chain.Family, o.Chain.Table, o.Chain.Name)
		return fmt.Sprintf("nft '%s iifname %q accept; %[1]s oifname %[2]q ct state established,related accept'", in, o.Interface)
	}
	return fmt.Sprintf("nft 'insert rule %s %s %s %s accept'", o.Chain.Family, o.Chain.Table, o.Chain.Name, strings.Join(words, " "))
}

func (m *Machine) marks() platform.Marks { return m.Steering.Marks.OrDefault() }

// isIPTables reports whether a chain is one that iptables knows.
func (m *Machine) isIPTables(o *Obstacle) bool {
	return (o.Chain.Family == nft.IPv4 || o.Chain.Family == nft.IPv6) && o.Chain.Name == strings.ToUpper(o.Chain.Hook.String()) &&
		slices.Contains([]string{"raw", "mangle", "nat", "filter", "security"}, o.Chain.Table)
}

func (m *Machine) passByIPTables(o *Obstacle) string {
	program, chain := "iptables", o.Chain.Name
	if o.Chain.Family == nft.IPv6 {
		program = "ip6tables"
	}
	match := "-i " + o.Interface
	switch o.Place {
	case Arriving:
		match += " -p tcp" + xtPorts(m.Steering.Ports)
	case Delivered:
		match = fmt.Sprintf("-m mark --mark %#x/%#x", m.marks().In, m.marks().Mask)
	case Sent:
		match = fmt.Sprintf("-m mark --mark %#x/%#x", m.marks().Upstream, m.marks().Mask)
	case Across:
		if m.Docker && o.Chain.Family == nft.IPv4 {
			chain = "DOCKER-USER" // which Docker leaves alone
		}
		put := fmt.Sprintf("%s -t %s -I %s", program, o.Chain.Table, chain)
		return fmt.Sprintf("%s -i %s -j ACCEPT && %[1]s -o %[2]s -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT", put, o.Interface)
	}
	return fmt.Sprintf("%s -t %s -I %s %s -j ACCEPT", program, o.Chain.Table, chain, match)
}

func nftPorts(ports []platform.PortRange) string {
	switch len(ports) {
	case 0:
		return "meta l4proto tcp"
	case 1:
		return "tcp dport " + ports[0].String()
	}
	return "tcp dport { " + joinPorts(ports, ", ", "-") + " }"
}

func xtPorts(ports []platform.PortRange) string {
	switch {
	case len(ports) == 0 || len(ports) > 7:
		return ""
	case len(ports) == 1:
		return " --dport " + joinPorts(ports, ",", ":")
	}
	return " -m multiport --dports " + joinPorts(ports, ",", ":")
}

func joinPorts(ports []platform.PortRange, between, to string) string {
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = strings.ReplaceAll(p.String(), "-", to)
	}
	return strings.Join(words, between)
}

// rules is about what firewalls drop.
func rules(m *Machine) (found []Finding) {
	if m.RulesErr != nil {
		return []Finding{{ID: "rules", Level: Note, What: "rules can't be listed: " + m.RulesErr.Error()}}
	}
	if !m.Admin {
		return m.unseen("rules", "what the kernel can do, firewalls, and rules of other proxies")
	}
	for i := range m.Obstacles {
		o := &m.Obstacles[i]
		if o.Deed != nft.Dropped {
			continue
		}
		f := Finding{ID: "rules", Level: Fault, Mend: m.pass(o)}
		did := "is dropped"
		if !o.Certain {
			f.Level, did = Warning, "may be dropped"
			f.Why = "a match of that rule, or of one before it, can't be judged from here"
		}
		switch o.Place {
		case Arriving:
			f.What = fmt.Sprintf("what devices behind %s send to captured ports %s by %s", o.Interface, did, o.where())
		case Delivered:
			f.What = "what is captured " + did + " on its way to transom by " + o.where()
		case Sent:
			f.What = "what transom sends to servers " + did + " by " + o.where()
		case Across:
			f.ID, f.Level = "forward", min(f.Level, Warning)
			f.What = fmt.Sprintf("what devices behind %s send and is not captured %s by %s", o.Interface, did, o.where())
			f.Why = "captured connections get past it; everything else, and all once transom has ended, does not"
			if !o.Certain {
				continue // a firewall that forwards some: that is its business
			}
		}
		if o.Owned {
			f.Why = "only the program that owns the table can change it; for firewalld set NftablesTableOwner=no in /etc/firewalld/firewalld.conf, or allow it there"
		}
		found = append(found, f)
	}
	found = append(found, m.untracked()...)
	if found == nil {
		return ok("rules", "no rule of others drops what is captured")
	}
	return found
}

// untracked is about rules that keep connections from being redirected, which takes
// connection tracking.
func (m *Machine) untracked() (found []Finding) {
	count, most := m.Settings.number("net.netfilter.nf_conntrack_count"), m.Settings.number("net.netfilter.nf_conntrack_max")
	if most > 0 && count >= most-most/20 {
		found = append(found, Finding{
			ID: "conntrack", Level: Fault, What: fmt.Sprintf("connection tracking is full: %d of %d connections", count, most),
			Why: "new connections are dropped", Mend: fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 4*most),
		})
	}
	if m.tproxies() {
		return found
	}
	for i := range m.Obstacles {
		o := &m.Obstacles[i]
		if o.Deed != nft.Untracked || o.Place != Arriving || o.Late {
			continue
		}
		f := Finding{
			ID: "conntrack", Level: Fault,
			What: fmt.Sprintf("connections of devices behind %s are not tracked, by %s", o.Interface, o.where()),
			Why:  "what is not tracked can't be redirected; --method tproxy does without", Mend: m.pass(o),
		}
		if !o.Certain {
			f.Level = Warning
		}
		found = append(found, f)
	}
	return found
}

// tproxies reports whether TPROXY is what is, or would be, used.
func (m *Machine) tproxies() bool { return m.Steering.Method == platform.TPROXY }

// others is about other proxies, whose rules bring to themselves what is to be
// captured.
func others(m *Machine) (found []Finding) {
	if !m.Admin || m.RulesErr != nil {
		return nil // rules says so
	}
	for i := range m.Obstacles {
		o := &m.Obstacles[i]
		if o.Deed != nft.Redirected && o.Deed != nft.Diverted || o.Place != Arriving {
			continue
		}
		if o.ByHand {
			f := Finding{ID: "other-proxy", Level: Note, What: fmt.Sprintf("rules by hand bring what devices behind %s send to %s", o.Interface, o.Listener)}
			if !slices.ContainsFunc(found, func(old Finding) bool { return old.What == f.What }) {
				found = append(found, f) // once for both families
			}
			continue
		}
		f := Finding{ID: "other-proxy", Level: Fault, Why: "end it, and have it take its rules back; what they take, transom does not see"}
		f.What = fmt.Sprintf("another proxy takes what devices behind %s send", o.Interface)
		switch {
		case o.Listener != "":
			f.What += ", " + o.Listener + ","
		case o.Port != 0:
			f.What += fmt.Sprintf(", at port %d, where nobody listens,", o.Port)
			f.Why = "an earlier one has left its rules, and devices are cut off"
		}
		f.What += " by " + o.where()
		if o.Late && o.Deed == nft.Redirected {
			f.Level, f.Why = Warning, "transom's rules come first, so while it runs that proxy gets nothing new"
		}
		if !o.Certain {
			f.Level = Warning
		}
		if !o.Owned {
			f.Mend = fmt.Sprintf("nft delete rule %s %s %s handle %d", o.Rule.Family, o.Rule.Table, o.Rule.Chain, o.Rule.Handle)
		}
		found = append(found, f)
	}
	if found == nil {
		return ok("other-proxy", "no other proxy takes what is captured")
	}
	return found
}
