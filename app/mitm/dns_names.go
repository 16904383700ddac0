package mitm

import (
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// expand appends the name at off as it is on the wire, written out.
func expand(dst, raw []byte, off int) (_ []byte, end int, err error) {
	begin, end := len(dst), -1
	for at, jumps := off, 0; ; {
		if at >= len(raw) || len(dst)-begin > 255 {
			return dst, 0, errDNS
		}
		n := int(raw[at])
		switch {
		case n&0xc0 == 0xc0 && at+1 < len(raw):
			if end < 0 {
				end = at + 2
			}
			if jumps++; jumps > 127 {
				return dst, 0, errDNS
			}
			at = n&0x3f<<8 | int(raw[at+1])
		case n > 63 || at+1+n > len(raw):
			return dst, 0, errDNS
		default:
			dst = append(dst, raw[at:at+1+n]...)
			at += 1 + n
			if n == 0 {
				if end < 0 {
					end = at
				}
				return dst, end, nil
			}
		}
	}
}

// dnsText writes a name on the wire as mitmproxy does: labels with dots between them, ""
// for the root. Octets that are no printable ASCII, dots and backslashes are escaped as
// in zone files, which mitmproxy does not.
func dnsText(wire []byte) string {
	var out []byte
	for len(wire) > 0 && wire[0] > 0 {
		label := wire[1 : 1+int(wire[0])]
		if out != nil {
			out = append(out, '.')
		}
		for _, c := range label {
			if c <= ' ' || c >= 0x7f || c == '.' || c == '\\' {
				out = append(out, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
			} else {
				out = append(out, c)
			}
		}
		wire = wire[1+len(label):]
	}
	return string(out)
}

// dnsWire is the reverse. Names that are not ASCII are those that IDNA has an ASCII for.
func dnsWire(dst []byte, name string) ([]byte, error) {
	if name == "" || name == "." {
		return append(dst, 0), nil
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b, err := dnsLabel(label)
		if err != nil || len(b) == 0 || len(b) > 63 {
			return dst, errDNS
		}
		dst = append(append(dst, byte(len(b))), b...)
	}
	return append(dst, 0), nil
}

func dnsLabel(label string) ([]byte, error) {
	for i := range len(label) {
		if label[i] >= 0x80 {
			ascii, err := idna.Punycode.ToASCII(label)
			return []byte(ascii), err
		}
	}
	var b []byte
	for i := 0; i < len(label); i++ {
		if label[i] != '\\' || i+3 >= len(label) {
			b = append(b, label[i])
			continue
		}
		n, err := strconv.ParseUint(label[i+1:i+4], 10, 8)
		if err != nil {
			return nil, err
		}
		b = append(b, byte(n))
		i += 3
	}
	return b, nil
}
