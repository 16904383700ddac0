package dns

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"

	"transom/flow"
)

// data returns a record's data as a zone file has it. Data that is not what its
// type says is malformed only where a name in it leads nowhere; else it is given as
// data of an unknown type.
func (r *reader) data(rec record) (string, error) {
	p := r.msg[rec.at:rec.end]
	switch {
	case rec.class != 1 && rec.class != 254: // of another class it means something else
	case rec.kind == flow.TypeA && len(p) == 4, rec.kind == flow.TypeAAAA && len(p) == 16:
		a, _ := netip.AddrFromSlice(p) // of such a length it is one
		return a.String(), nil
	case rec.kind == flow.TypeCNAME, rec.kind == flow.TypeNS, rec.kind == flow.TypePTR, rec.kind == flow.TypeDNAME:
		return r.names(rec, "", 0, 1)
	case rec.kind == flow.TypeMX && len(p) > 2:
		return r.names(rec, number(p[:2]), 2, 1)
	case rec.kind == flow.TypeSRV && len(p) > 6:
		return r.names(rec, number(p[:2])+" "+number(p[2:4])+" "+number(p[4:6]), 6, 1)
	case rec.kind == flow.TypeSOA:
		return r.names(rec, "", 0, 2)
	case rec.kind == flow.TypeTXT || rec.kind == 99:
		if s, ok := texts(p); ok {
			return s, nil
		}
	case (rec.kind == flow.TypeSVCB || rec.kind == flow.TypeHTTPS) && len(p) > 2:
		if s, ok := r.service(rec); ok {
			return s, nil
		}
	}
	return `\# ` + strconv.Itoa(len(p)) + " " + hex.EncodeToString(p), nil
}

func number(p []byte) string { return strconv.Itoa(int(binary.BigEndian.Uint16(p))) }

// names reads n names that stand skip bytes behind the beginning of the data, and
// the numbers behind them.
func (r *reader) names(rec record, before string, skip, n int) (string, error) {
	out := []byte(before)
	at := rec.at + skip
	for range n {
		if len(out) > 0 {
			out = append(out, ' ')
		}
		var err error
		if out, at, err = appendName(out, r.msg, at); err != nil {
			return "", err
		}
		if at > rec.end {
			return "", fmt.Errorf("%w: a name ends behind its record", errMalformed)
		}
	}
	for ; rec.end-at >= 4 && rec.kind == flow.TypeSOA; at += 4 {
		out = strconv.AppendUint(append(out, ' '), uint64(binary.BigEndian.Uint32(r.msg[at:])), 10)
	}
	return string(out), nil
}

// texts reads character strings.
func texts(p []byte) (string, bool) {
	var out []byte
	for len(p) > 0 {
		n := int(p[0])
		if n >= len(p) {
			return "", false
		}
		if out != nil {
			out = append(out, ' ')
		}
		out = append(out, '"')
		for _, b := range p[1 : 1+n] {
			if b == ' ' {
				out = append(out, b)
				continue
			}
			out = appendLabel(out, []byte{b}, "\"\\")
		}
		out = append(out, '"')
		p = p[1+n:]
	}
	return string(out), true
}

// Keys of service parameters (RFC 9460, section 14.3.2).
var serviceKeys = [...]string{"mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint"}

// service reads where a service is to be had (RFC 9460, section 2.2).
func (r *reader) service(rec record) (string, bool) {
	out := []byte(number(r.msg[rec.at:]) + " ")
	out, at, err := appendName(out, r.msg[:rec.end], rec.at+2)
	if err != nil {
		return "", false
	}
	for p := r.msg[at:rec.end]; len(p) > 0; {
		if len(p) < 4 || len(p)-4 < int(binary.BigEndian.Uint16(p[2:])) {
			return "", false
		}
		key, n := int(binary.BigEndian.Uint16(p)), int(binary.BigEndian.Uint16(p[2:]))
		out = append(out, ' ')
		if key < len(serviceKeys) {
			out = append(out, serviceKeys[key]...)
		} else {
			out = strconv.AppendInt(append(out, "key"...), int64(key), 10)
		}
		if n > 0 {
			out = appendValue(append(out, '='), key, p[4:4+n])
		}
		p = p[4+n:]
	}
	return string(out), true
}

// appendValue writes lists of protocols and addresses and a port as such, the rest
// as digits.
func appendValue(out []byte, key int, p []byte) []byte {
	comma := func(i int) {
		if i > 0 {
			out = append(out, ',')
		}
	}
	size := map[int]int{4: 4, 6: 16}[key]
	switch {
	case key == 1 && listed(p):
		for i := 0; i < len(p); i += 1 + int(p[i]) {
			comma(i)
			out = appendLabel(out, p[i+1:i+1+int(p[i])], ",\\")
		}
	case key == 3 && len(p) == 2:
		out = append(out, number(p)...)
	case size > 0 && len(p)%size == 0:
		for i := 0; i < len(p); i += size {
			comma(i)
			a, _ := netip.AddrFromSlice(p[i : i+size])
			out = a.AppendTo(out)
		}
	default:
		out = hex.AppendEncode(out, p)
	}
	return out
}

// listed reports whether p is a sequence of strings with their lengths.
func listed(p []byte) bool {
	for len(p) > 0 {
		if int(p[0]) >= len(p) {
			return false
		}
		p = p[1+int(p[0]):]
	}
	return true
}
