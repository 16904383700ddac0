package nft

import "encoding/binary"

// What iptables puts into nf_tables keeps its old matches and targets, where there is
// no expression for them. These are read that firewalls have.

// xtMatch reads a match. One that is not known here is unclear.
func (s *state) xtMatch(name string, info []byte) match {
	switch name {
	case "comment":
		return yes
	case "mark": // struct xt_mark_mtinfo1
		if len(info) < 9 {
			return unclear
		}
		is := s.Mark&binary.NativeEndian.Uint32(info[4:]) == binary.NativeEndian.Uint32(info)
		return holds(is != (info[8] != 0))
	case "multiport":
		return s.multiport(info)
	case "conntrack":
		return s.xtConntrack(info)
	}
	return unclear
}

// multiport reads struct xt_multiport_v1.
func (s *state) multiport(info []byte) match {
	const ports, flags, invert, size = 2, 32, 47, 48
	const source = 0
	if len(info) < size || info[0] == source {
		return unclear
	}
	found := false
	for i := 0; i < int(min(info[1], 15)); i++ {
		low := binary.NativeEndian.Uint16(info[ports+2*i:])
		high := low
		if info[flags+i] != 0 && i+1 < 15 {
			i++
			high = binary.NativeEndian.Uint16(info[ports+2*i:])
		}
		found = found || low <= s.DPort && s.DPort <= high
	}
	return holds(found != (info[invert] != 0))
}

// xtConntrack reads struct xt_conntrack_mtinfo3, as far as it asks for the state
// alone.
func (s *state) xtConntrack(info []byte) match {
	const flags, inverted, states, size = 146, 148, 150, 152
	const byState, isNew = 1, 8
	if len(info) < size || binary.NativeEndian.Uint16(info[flags:]) != byState {
		return unclear
	}
	is := binary.NativeEndian.Uint16(info[states:])&isNew != 0
	return holds(is != (binary.NativeEndian.Uint16(info[inverted:])&byState != 0))
}

// xtTarget reads what is done.
func (s *state) xtTarget(name string, info []byte, r *ruling) {
	switch name {
	case "DROP", "REJECT":
		r.verdict = verdictDrop
	case "REDIRECT", "DNAT":
		// struct nf_nat_ipv4_multi_range_compat: of a number of ranges the first has
		// flags, two addresses and two ports.
		var port uint16
		switch {
		case len(info) >= 40: // struct nf_nat_range
			port = binary.BigEndian.Uint16(info[36:])
		case len(info) >= 20:
			port = binary.BigEndian.Uint16(info[16:])
		}
		r.deeds, r.verdict = append(r.deeds, done{Redirected, port}), verdictAccept
	case "TPROXY":
		var port uint16
		if len(info) >= 26 { // struct xt_tproxy_target_info_v1
			port = binary.BigEndian.Uint16(info[24:])
		}
		r.deeds, r.verdict = append(r.deeds, done{Diverted, port}), verdictAccept
	case "SNAT", "MASQUERADE":
		r.verdict = verdictAccept
	case "NOTRACK":
		r.deeds = append(r.deeds, done{Untracked, 0})
	case "CT":
		const notrack = 1
		if len(info) >= 2 && binary.NativeEndian.Uint16(info)&notrack != 0 {
			r.deeds = append(r.deeds, done{Untracked, 0})
		}
	}
}
