package ca

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds on what is copied from a server's certificate, which is anybody's
// text. The name and the address that the client asked for always fit on top.
const (
	maxNames     = 256
	maxNameBytes = 12 << 10
	maxDNSName   = 253 // RFC 1035, section 2.3.4, without the root's dot
	maxDNSLabel  = 63
	maxAttribute = 64 // ub-common-name and ub-organization-name, RFC 5280, appendix A.1
)

// noName stands where nothing usable is known. It is a name that never exists
// (RFC 2606, section 2): clients that check names refuse it, and clients that
// check nothing go on.
const noName = "unknown.invalid"

// A spec is everything that makes one leaf differ from another, in one
// canonical string: it is the key of the cache, and the leaf is minted from
// nothing else, so equal keys can't mean different certificates.
//
//	flags(1) [notBefore(8) notAfter(8)] len(1) organisation { kind(1) len(1) name }
type spec string

const (
	flagRSA       byte = 1 << iota // the leaf's key is RSA
	flagUntrusted                  // signed by the throwaway authority
	flagValidity                   // the validity follows
)

const (
	kindDNS byte = 'd'
	kindIP  byte = 'i'
)

// appendSpec appends the spec of l to b. It is on the path of every TLS
// connection and allocates only if b is too small.
func appendSpec(b []byte, l *Leaf) []byte {
	b = append(b, 0)
	flags := len(b) - 1
	if l.RSA {
		b[flags] |= flagRSA
	}
	if l.Untrusted {
		b[flags] |= flagUntrusted
		if l.Like != nil {
			b[flags] |= flagValidity
			b = binary.BigEndian.AppendUint64(b, uint64(l.Like.NotBefore.Unix()))
			b = binary.BigEndian.AppendUint64(b, uint64(l.Like.NotAfter.Unix()))
		}
	}
	org := ""
	if l.Like != nil {
		org = organisation(l.Like.Subject.Organization)
	}
	b = append(b, byte(len(org)))
	b = append(b, org...)

	w := nameWriter{b: b, start: len(b)}
	if l.Like != nil {
		w = w.addLike(l)
	}
	if !l.Untrusted || w.count == 0 {
		w = w.addName(l.Name).addAddr(l.Addr)
	}
	if w.count == 0 {
		w = w.addName(noName)
	}
	return w.b
}

// organisation returns the first of orgs that can be written into a subject.
func organisation(orgs []string) string {
	for _, o := range orgs {
		if o != "" && utf8.ValidString(o) && utf8.RuneCountInString(o) <= maxAttribute &&
			strings.IndexFunc(o, unicode.IsControl) < 0 {
			return o
		}
	}
	return ""
}

// A nameWriter appends names in their canonical form, each once. It is passed
// by value, so that what it appends to can stay on its caller's stack.
type nameWriter struct {
	b     []byte
	start int // of the first name in b
	count int
	marks [8]uint64 // a bit for the hash of each name; most need no look at the others
}

// addLike adds the names of the server's certificate as far as they fit, and
// leaves room for the two that the client asked for.
func (w nameWriter) addLike(l *Leaf) nameWriter {
	// A common name is a name only by old custom; "Router" and "Acme Ltd" are
	// not, and a plain word that is one comes with the SNI.
	if cn := l.Like.Subject.CommonName; strings.ContainsAny(cn, ".:") {
		w = w.addName(cn)
	}
	for _, name := range l.Like.DNSNames {
		if w.full() {
			return w
		}
		w = w.addName(name)
	}
	for _, ip := range l.Like.IPAddresses {
		if w.full() {
			return w
		}
		if a, ok := netip.AddrFromSlice(ip); ok {
			w = w.addAddr(a)
		}
	}
	return w
}

// full reports whether no more of the server's names fit.
func (w nameWriter) full() bool {
	return w.count >= maxNames-2 || len(w.b)-w.start > maxNameBytes
}

// addName adds a DNS name or the text of an address, and skips anything else.
func (w nameWriter) addName(name string) nameWriter {
	name = strings.TrimSuffix(name, ".")
	if a, ok := parseAddr(name); ok {
		return w.addAddr(a)
	}
	at, ok := len(w.b), false
	w.b, ok = appendDNSName(append(w.b, kindDNS, 0), name)
	return w.keep(at, ok)
}

func (w nameWriter) addAddr(a netip.Addr) nameWriter {
	if !a.IsValid() || a.IsUnspecified() {
		return w
	}
	at := len(w.b)
	w.b = append(w.b, kindIP, 0)
	if a = a.Unmap(); a.Is4() {
		ip := a.As4()
		w.b = append(w.b, ip[:]...)
	} else {
		ip := a.As16() // without the zone, which means nothing elsewhere
		w.b = append(w.b, ip[:]...)
	}
	return w.keep(at, true)
}

// keep completes the entry at b[at:], or takes it back if it is not ok or has
// been seen.
func (w nameWriter) keep(at int, ok bool) nameWriter {
	if ok {
		w.b[at+1] = byte(len(w.b) - at - 2)
		ok = !w.seen(at)
	}
	if !ok {
		w.b = w.b[:at]
		return w
	}
	w.count++
	return w
}

// seen reports whether the entry at b[at:] stands before itself already.
func (w *nameWriter) seen(at int) bool {
	h := uint32(2166136261) // FNV-1a
	for _, c := range w.b[at:] {
		h = (h ^ uint32(c)) * 16777619
	}
	word, bit := &w.marks[h>>6&7], uint64(1)<<(h&63)
	if *word&bit == 0 {
		*word |= bit
		return false
	}
	for i := w.start; i < at; {
		end := i + 2 + int(w.b[i+1])
		if bytes.Equal(w.b[i:end], w.b[at:]) {
			return true
		}
		i = end
	}
	return false
}

// parseAddr reads the text of an address, in brackets or not, with or without a
// zone. It looks first whether s can be one: netip allocates its errors.
func parseAddr(s string) (netip.Addr, bool) {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	if s == "" || strings.IndexByte(s, ':') < 0 && (s[len(s)-1] < '0' || s[len(s)-1] > '9') {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	return a, err == nil
}

// appendDNSName appends name in lower case if it is one that a certificate can
// carry and a client can ask for: letters, digits, hyphens and underscores in
// labels of at most 63 bytes, a whole "*" as the first label, international
// names as A-labels (RFC 5280, section 7.2). It is not strict about hyphens:
// hosts with odd ones exist, and their clients compare bytes.
func appendDNSName(b []byte, name string) ([]byte, bool) {
	if name == "" || len(name) > maxDNSName {
		return b, false
	}
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		b, name = append(b, "*."...), rest
	}
	label := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		case c == '.' && label > 0:
			label = -1
		default:
			return b, false
		}
		if label++; label > maxDNSLabel {
			return b, false
		}
		b = append(b, c)
	}
	return b, label > 0
}

// A wanted is a spec taken apart.
type wanted struct {
	flags               byte
	notBefore, notAfter time.Time // zero without flagValidity
	org                 string
	dns                 []string
	addrs               []netip.Addr
	first               string // the text of the first name that fits a subject, "" if none does
}

// parse takes s apart. The spec is our own, so it is not checked.
func (s spec) parse() wanted {
	w := wanted{flags: s[0]}
	s = s[1:]
	if w.flags&flagValidity != 0 {
		w.notBefore = time.Unix(int64(binary.BigEndian.Uint64([]byte(s[:8]))), 0).UTC()
		w.notAfter = time.Unix(int64(binary.BigEndian.Uint64([]byte(s[8:16]))), 0).UTC()
		s = s[16:]
	}
	w.org, s = string(s[1:1+int(s[0])]), s[1+int(s[0]):]
	for len(s) > 0 {
		kind, name := s[0], string(s[2:2+int(s[1])])
		s = s[2+int(s[1]):]
		text := name
		if kind == kindIP {
			a, _ := netip.AddrFromSlice([]byte(name))
			w.addrs = append(w.addrs, a)
			text = a.String()
		} else {
			w.dns = append(w.dns, name)
		}
		if w.first == "" && len(text) <= maxAttribute {
			w.first = text
		}
	}
	return w
}
