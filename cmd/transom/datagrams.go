package main

import (
	"errors"
	"fmt"

	"transom/platform"
)

// datagrams adds to s which UDP is captured.
func (f *gatewayFlags) datagrams(s *platform.Steering) (err error) {
	const quic = 443
	switch f.udp {
	case none:
		return nil
	case "all":
		s.UDPPorts = []platform.PortRange{{First: 1, Last: 65535}}
	default:
		if s.UDPPorts, err = platform.ParsePorts(f.udp); err != nil {
			return fmt.Errorf("--udp-ports: %w", err)
		}
		for _, r := range s.UDPPorts {
			if s.RejectQUIC && r.First <= quic && quic <= r.Last {
				return fmt.Errorf("--udp-ports %s: port %d is QUIC's, which is refused; add --quic pass to have it captured, as datagrams", f.udp, quic)
			}
		}
	}
	switch {
	case s.Method == platform.Redirect:
		return errors.New("--udp-ports: UDP is captured by tproxy alone; leave --method redirect out, or --udp-ports")
	case f.noInterface():
		return aboutClients("udp-ports")
	}
	return nil
}
