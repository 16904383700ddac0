package steer

import (
	"transom/platform"
	"transom/platform/nft"
)

// fromUDPServers is what servers answer. Sockets towards clients are not looked for:
// between bind and connect one would be found for all clients of its destination.
// TPROXY's own look-up leaves out what is not connected.
func (t *steering) fromUDPServers() nft.Rule {
	return nft.Rule{
		nft.L4Proto(nft.UDP), nft.SocketTransparent(), nft.SocketMark(t.marks.Upstream, t.marks.Mask), t.in(), nft.Accept(),
	}
}

// captureUDP brings datagrams: to the socket that is connected to their client, if
// there is one, else to the listener. It is for open conversations as well: nothing
// else brings those.
func (t *steering) captureUDP() []nft.Rule {
	ports := udpPorts(&t.Steering)
	if len(ports) == 0 {
		return nil
	}
	return []nft.Rule{{nft.DPortIn(nft.UDP, ports...), t.tproxyHere(), t.in(), nft.Notrack(), nft.Accept()}}
}

// noUDP refuses datagrams that would be captured.
func (t *steering) noUDP() []nft.Rule {
	ports := udpPorts(&t.Steering)
	if len(ports) == 0 {
		return nil
	}
	return []nft.Rule{{nft.DPortIn(nft.UDP, ports...), nft.RejectPort()}}
}

// udpPorts are the UDP ports that are captured: without QUIC's, if that is refused.
func udpPorts(s *platform.Steering) []platform.PortRange {
	const quic = 443
	if !s.RejectQUIC {
		return s.UDPPorts
	}
	var out []platform.PortRange
	for _, r := range s.UDPPorts {
		if r.First > quic || r.Last < quic {
			out = append(out, r)
			continue
		}
		if r.First < quic {
			out = append(out, platform.PortRange{First: r.First, Last: quic - 1})
		}
		if r.Last > quic {
			out = append(out, platform.PortRange{First: quic + 1, Last: r.Last})
		}
	}
	return out
}
