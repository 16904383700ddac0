package sniff

import "golang.org/x/crypto/cryptobyte"

// Extension returns the content of an extension of the hello, which stays the
// hello's; ok is false if it was not sent.
func (h *Hello) Extension(typ uint16) (data []byte, ok bool) {
	if !contains(h.Extensions, typ) {
		return nil, false
	}
	s := cryptobyte.String(h.TLS.Hello)
	var skip, exts cryptobyte.String
	if !s.Skip(4+2+32) || !s.ReadUint8LengthPrefixed(&skip) || !s.ReadUint16LengthPrefixed(&skip) ||
		!s.ReadUint8LengthPrefixed(&skip) || !s.ReadUint16LengthPrefixed(&exts) {
		return nil, false
	}
	for !exts.Empty() {
		var t uint16
		var content cryptobyte.String
		if !exts.ReadUint16(&t) || !exts.ReadUint16LengthPrefixed(&content) {
			return nil, false
		}
		if t == typ {
			return content, true
		}
	}
	return nil, false
}

// Extensions that offer to resume.
const (
	extSessionTicket = 35
	extPreSharedKey  = 41
)

// maxTickets is how many identities are looked at; crypto/tls tries as many.
const maxTickets = 5

// Tickets returns what the hello offers to resume: the first identities of TLS
// 1.3 (RFC 8446, section 4.2.11), then the ticket of TLS 1.2 (RFC 5077, section
// 3.2). They stay the hello's.
func (h *Hello) Tickets() (tickets [][]byte) {
	if ext, ok := h.Extension(extPreSharedKey); ok {
		s := cryptobyte.String(ext)
		var list, identity cryptobyte.String
		s.ReadUint16LengthPrefixed(&list)
		for len(tickets) < maxTickets && list.ReadUint16LengthPrefixed(&identity) && list.Skip(4) { // the ticket's age
			tickets = append(tickets, identity)
		}
	}
	if ext, ok := h.Extension(extSessionTicket); ok && len(ext) > 0 {
		tickets = append(tickets, ext)
	}
	return tickets
}
