package dns

import (
	"fmt"
)

const (
	maxName     = 255 // bytes on the wire (RFC 1035, section 2.3.4)
	maxPointers = 127 // more than labels fit into a name
)

// name reads a name, following pointers.
func (r *reader) name() (string, error) {
	b, end, err := appendName(r.buf[:0], r.msg, r.off)
	r.buf = b
	if err != nil {
		return "", err
	}
	r.off = end
	return string(b), nil
}

// skipName goes past a name without following pointers.
func (r *reader) skipName() error {
	for r.off < len(r.msg) {
		switch c := int(r.msg[r.off]); {
		case c == 0:
			r.off++
			return nil
		case c&0xc0 == 0xc0:
			_, err := r.bytes(2)
			return err
		case c&0xc0 != 0:
			return fmt.Errorf("%w: a label of unknown kind", errMalformed)
		default:
			r.off += 1 + c
		}
	}
	return fmt.Errorf("%w: it ends in a name", errMalformed)
}

// appendName appends the name at off, and returns where it ends.
func appendName(dst, msg []byte, off int) (_ []byte, end int, err error) {
	begin, size, pointers := len(dst), 0, 0
	for at := off; ; {
		if at >= len(msg) {
			return dst, 0, fmt.Errorf("%w: it ends in a name", errMalformed)
		}
		c := int(msg[at])
		switch {
		case c == 0:
			if pointers == 0 {
				end = at + 1
			}
			if len(dst) == begin {
				dst = append(dst, '.')
			}
			return dst, end, nil
		case c&0xc0 == 0xc0: // RFC 1035, section 4.1.4
			if at+1 >= len(msg) {
				return dst, 0, fmt.Errorf("%w: it ends in a name", errMalformed)
			}
			if pointers == 0 {
				end = at + 2
			}
			if pointers++; pointers > maxPointers {
				return dst, 0, fmt.Errorf("%w: a name that leads to itself", errMalformed)
			}
			at = c&0x3f<<8 | int(msg[at+1])
		case c&0xc0 != 0:
			return dst, 0, fmt.Errorf("%w: a label of unknown kind", errMalformed)
		case at+1+c > len(msg):
			return dst, 0, fmt.Errorf("%w: it ends in a name", errMalformed)
		default:
			if size += 1 + c; size+1 > maxName {
				return dst, 0, fmt.Errorf("%w: a name of more than %d bytes", errMalformed, maxName)
			}
			if len(dst) > begin {
				dst = append(dst, '.')
			}
			dst = appendLabel(dst, msg[at+1:at+1+c], ".\\")
			at += 1 + c
		}
	}
}

// appendLabel escapes as zone files do (RFC 1035, section 5.1).
func appendLabel(dst, label []byte, special string) []byte {
	for _, b := range label {
		switch {
		case b <= ' ' || b >= 0x7f:
			dst = append(dst, '\\', '0'+b/100, '0'+b/10%10, '0'+b%10)
		case special[0] == b || special[1] == b:
			dst = append(dst, '\\', b)
		default:
			dst = append(dst, b)
		}
	}
	return dst
}
