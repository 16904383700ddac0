package steer

import (
	"transom/platform"
	"transom/platform/nft"
)

// refuses reports whether what goes past us is refused.
func (t *steering) refuses() bool { return t.Closed && (!t.Draining || t.Refusing) }

// closed refuses what interception would bring, and is there when that is not:
// what is brought never gets this far. What goes on, as through a port forward, is
// left alone. Conntrack knows; a packet of a connection that was ours it does not,
// or it is the first that it sees of it.
func (t *steering) closed() *nft.Table {
	refuse := append([]nft.Rule{
		{nft.L4Proto(nft.TCP), nft.CTState(nft.Established | nft.Related), nft.Accept()},
		{t.ports(nft.TCP), nft.RejectReset()},
	}, t.noQUIC()...)
	chains := t.refusal("refuse", refuse)
	if t.gateway() {
		chains[0].Rules = append(chains[0].Rules, t.noUDP()...)
	}
	return &nft.Table{Family: nft.Inet, Name: closedName, Chains: chains}
}

// noQUIC answers clients that could go past us by UDP, so that they come by TCP
// at once.
func (t *steering) noQUIC() []nft.Rule {
	ports := quicPorts(&t.Steering)
	if len(ports) == 0 {
		return nil
	}
	return []nft.Rule{{nft.DPortIn(nft.UDP, ports...), nft.RejectPort()}}
}

// quicPorts are the UDP ports to refuse: the ports that are captured, and if
// all are, 443 alone, since UDP has other uses.
func quicPorts(s *platform.Steering) []platform.PortRange {
	switch {
	case !s.RejectQUIC:
		return nil
	case len(s.Ports) == 0:
		return []platform.PortRange{{First: 443, Last: 443}}
	}
	return s.Ports
}

// refusal is chains with rules for what would go past us.
func (t *steering) refusal(name string, rules []nft.Rule) (chains []nft.Chain) {
	if len(rules) == 0 {
		return nil
	}
	if t.gateway() {
		chains = append(chains, nft.Chain{
			Name: name, Type: "filter", Hook: nft.Forward, Priority: refusing,
			Rules: append(t.othersOfClients(), rules...),
		})
	}
	if t.Local {
		of := make([]nft.Rule, len(rules))
		for i, r := range rules {
			of[i] = t.ofProgram(r...)
		}
		chains = append(chains, nft.Chain{
			Name: name + "_local", Type: "filter", Hook: nft.Output, Priority: refusing,
			Rules: append(t.othersOfHost(), of...),
		})
	}
	return chains
}
