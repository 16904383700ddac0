package sniff

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"transom/flow"
)

// A Hello is a parsed ClientHello (RFC 8446, section 4.1.2; RFC 5246, section
// 7.4.1.2). Lists are as sent, in order, GREASE (RFC 8701) included, unless
// said otherwise; nil is an absent extension. A Hello is not modified once it
// was returned.
type Hello struct {
	// TLS is what is recorded of the hello. Its ServerName is the first
	// host_name of the list, whatever its bytes; Versions and the fingerprints
	// leave GREASE out.
	TLS flow.TLS

	LegacyVersion       uint16 // the version field of the message itself
	CipherSuites        []uint16
	Extensions          []uint16 // types
	Groups              []uint16 // supported_groups
	KeyShares           []uint16 // the groups that a key_share entry was sent of
	Points              []uint8  // ec_point_formats
	SignatureAlgorithms []uint16
	EarlyData           bool // early_data was sent: 0-RTT follows (RFC 8446, section 4.2.10)
}

// Extension types that are looked into (IANA, TLS ExtensionType Values).
const (
	extServerName          = 0
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
	extALPN                = 16
	extEarlyData           = 42
	extSupportedVersions   = 43
	extKeyShare            = 51
	extECH                 = 0xfe0d
)

// ParseClientHello parses a ClientHello handshake message, its four byte header
// included. The Hello keeps msg. It is never nil: with an error it holds what
// could be read. What is odd but unambiguous is no error: unknown or GREASE
// values, several or strange server names, extensions in any order. Cut or
// overlong structures and duplicate extensions are; RFC 8446 wants them refused.
func ParseClientHello(msg []byte) (*Hello, error) {
	p := &parser{hello: &Hello{}, size: len(msg)}
	p.hello.TLS.Hello = msg
	err := p.message(msg)
	h := p.hello
	if h.TLS.Versions == nil && h.LegacyVersion != 0 {
		h.TLS.Versions = p.list(h.LegacyVersion)
	}
	if err != nil {
		return h, fmt.Errorf("ClientHello at byte %d: %w", p.at, err)
	}
	h.TLS.JA3, h.TLS.JA4 = h.ja3(), h.ja4()
	return h, nil
}

// A parser fills one Hello. All its lists of numbers share one array.
type parser struct {
	hello *Hello
	size  int
	at    int // where the structure being read starts
	nums  []uint16
}

func (p *parser) mark(rest cryptobyte.String) { p.at = p.size - len(rest) }

func (p *parser) message(msg []byte) error {
	h, s := p.hello, cryptobyte.String(msg)
	var typ uint8
	var body, session, suites, compression, exts cryptobyte.String
	if !s.ReadUint8(&typ) || typ != typeClientHello || !s.ReadUint24LengthPrefixed(&body) || !s.Empty() {
		return errors.New("not a handshake message of this type and length")
	}
	p.mark(body)
	if !body.ReadUint16(&h.LegacyVersion) || !body.Skip(32) {
		return errors.New("version or random is cut short")
	}
	p.mark(body)
	if !body.ReadUint8LengthPrefixed(&session) {
		return errors.New("session id is cut short")
	}
	p.mark(body)
	if !body.ReadUint16LengthPrefixed(&suites) || len(suites)%2 != 0 {
		return errors.New("bad list of cipher suites")
	}
	p.nums = make([]uint16, 0, min(len(msg), len(suites)+256)/2)
	h.CipherSuites = p.numbers(suites)
	p.mark(body)
	if !body.ReadUint8LengthPrefixed(&compression) {
		return errors.New("list of compression methods is cut short")
	}
	if body.Empty() {
		return nil // before TLS 1.3 extensions are optional
	}
	p.mark(body)
	if !body.ReadUint16LengthPrefixed(&exts) {
		return errors.New("extensions are cut short")
	}
	if !body.Empty() {
		p.mark(body)
		return errors.New("data after the extensions")
	}
	return p.extensions(exts)
}

func (p *parser) extensions(s cryptobyte.String) (err error) {
	var room [48]uint16
	types := room[:0]
	end := p.at + 2 + len(s)
	for !s.Empty() && err == nil {
		p.at = end - len(s)
		var typ uint16
		var data cryptobyte.String
		if !s.ReadUint16(&typ) || !s.ReadUint16LengthPrefixed(&data) {
			err = errors.New("extension is cut short")
			break
		}
		if contains(types, typ) {
			err = fmt.Errorf("extension %d for the second time", typ)
			break
		}
		types = append(types, typ)
		if !p.extension(typ, data) {
			err = fmt.Errorf("extension %d is malformed", typ)
		}
	}
	p.hello.Extensions = p.list(types...)
	return err
}

// extension reports whether the extension is well-formed, if it is looked into
// at all.
func (p *parser) extension(typ uint16, s cryptobyte.String) bool {
	h := p.hello
	var in cryptobyte.String
	switch typ {
	case extServerName:
		return p.serverName(s)
	case extALPN:
		return p.alpn(s)
	case extSupportedGroups:
		ok := s.ReadUint16LengthPrefixed(&in) && s.Empty() && len(in)%2 == 0
		h.Groups = p.numbers(in)
		return ok
	case extSignatureAlgorithms:
		ok := s.ReadUint16LengthPrefixed(&in) && s.Empty() && len(in)%2 == 0
		h.SignatureAlgorithms = p.numbers(in)
		return ok
	case extSupportedVersions:
		ok := s.ReadUint8LengthPrefixed(&in) && s.Empty() && len(in)%2 == 0
		h.TLS.Versions = withoutGREASE(p.numbers(in))
		return ok
	case extKeyShare:
		p.keyShares(s)
	case extPointFormats:
		ok := s.ReadUint8LengthPrefixed(&in) && s.Empty()
		h.Points = in
		return ok
	case extEarlyData:
		h.EarlyData = true
	case extECH:
		h.TLS.ECH = true
	}
	return true
}

// serverName keeps the first name of type host_name (RFC 6066, section 3). An
// empty extension or list is odd and no more.
func (p *parser) serverName(s cryptobyte.String) bool {
	if s.Empty() {
		return true
	}
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return false
	}
	for found := false; !list.Empty(); {
		var typ uint8
		var name cryptobyte.String
		if !list.ReadUint8(&typ) || !list.ReadUint16LengthPrefixed(&name) {
			return false
		}
		if typ == 0 && !found {
			p.hello.TLS.ServerName, found = string(name), true
		}
	}
	return true
}

// alpn reads the list of protocols (RFC 7301, section 3.1).
func (p *parser) alpn(s cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || !s.Empty() {
		return false
	}
	p.hello.TLS.ALPN = make([]string, 0, 2)
	for !list.Empty() {
		var name cryptobyte.String
		if !list.ReadUint8LengthPrefixed(&name) || name.Empty() {
			return false
		}
		p.hello.TLS.ALPN = append(p.hello.TLS.ALPN, protocol(name))
	}
	return true
}

// keyShares reads which groups have one (RFC 8446, section 4.2.8). Whoever uses
// the shares has to read them strictly.
func (p *parser) keyShares(s cryptobyte.String) {
	var list, share cryptobyte.String
	from := len(p.nums)
	for ok := s.ReadUint16LengthPrefixed(&list); ok && !list.Empty(); {
		var group uint16
		if ok = list.ReadUint16(&group) && list.ReadUint16LengthPrefixed(&share); ok {
			p.nums = append(p.nums, group)
		}
	}
	p.hello.KeyShares = p.nums[from:len(p.nums):len(p.nums)]
}

// protocol makes a string of b, without allocating for the usual ones.
func protocol(b []byte) string {
	switch string(b) {
	case "h2":
		return "h2"
	case "http/1.1":
		return "http/1.1"
	}
	return string(b)
}

// numbers reads s, of even length, as 16-bit numbers.
func (p *parser) numbers(s cryptobyte.String) []uint16 {
	from := len(p.nums)
	for i := 0; i+1 < len(s); i += 2 {
		p.nums = append(p.nums, uint16(s[i])<<8|uint16(s[i+1]))
	}
	return p.nums[from:len(p.nums):len(p.nums)]
}

// list copies v into the shared array.
func (p *parser) list(v ...uint16) []uint16 {
	from := len(p.nums)
	p.nums = append(p.nums, v...)
	return p.nums[from:len(p.nums):len(p.nums)]
}

// withoutGREASE removes GREASE values in place.
func withoutGREASE(v []uint16) []uint16 {
	n := 0
	for _, x := range v {
		if !grease(x) {
			v[n] = x
			n++
		}
	}
	return v[:n]
}

// grease reports whether v is one of the values that RFC 8701 reserves.
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

func contains(list []uint16, v uint16) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}
