package ca

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// subjectHashOld returns the name, less ".0", that a certificate goes by in
// Android's system store and in certificate directories of OpenSSL before 1.0:
// eight hexadecimal digits made of its subject by MD5.
func subjectHashOld(cert *x509.Certificate) string {
	h := md5.Sum(cert.RawSubject)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(h[:]))
}

// SubjectHash returns the name, less ".0", that a certificate goes by in
// certificate directories of OpenSSL 1.0 and later: eight hexadecimal digits
// made of its canonical subject by SHA-1. Another with the same subject has ".1"
// after it, and so on.
func SubjectHash(cert *x509.Certificate) (string, error) {
	canon, err := canonicalName(cert.RawSubject)
	if err != nil {
		return "", fmt.Errorf("hash the subject of %q: %w", cert.Subject, err)
	}
	h := sha1.Sum(canon)
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(h[:])), nil
}

// An attribute is one AttributeTypeAndValue of a name (RFC 5280, section
// 4.1.2.4).
type attribute struct {
	Type  asn1.ObjectIdentifier
	Value asn1.RawValue
}

// canonicalName brings a name into the form that OpenSSL hashes and compares:
// text as UTF8String, ASCII letters in lower case, white space trimmed and
// folded, and no SEQUENCE around it all.
func canonicalName(raw []byte) ([]byte, error) {
	var rdns []asn1.RawValue
	if _, err := asn1.Unmarshal(raw, &rdns); err != nil {
		return nil, err
	}
	var out []byte
	for _, rdn := range rdns {
		var attrs [][]byte
		for rest := rdn.Bytes; len(rest) > 0; {
			var a attribute
			var err error
			if rest, err = asn1.Unmarshal(rest, &a); err != nil {
				return nil, err
			}
			if text, ok := attributeText(a.Value); ok {
				a.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: foldText(text)}
			}
			der, err := asn1.Marshal(a)
			if err != nil {
				return nil, err
			}
			attrs = append(attrs, der)
		}
		slices.SortFunc(attrs, bytes.Compare) // a SET OF, in DER's order
		set, err := asn1.Marshal(asn1.RawValue{
			Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(attrs, nil),
		})
		if err != nil {
			return nil, err
		}
		out = append(out, set...)
	}
	return out, nil
}

// attributeText returns v in UTF-8, and whether it is text at all.
func attributeText(v asn1.RawValue) ([]byte, bool) {
	const tagVisible, tagUniversal = 26, 28
	if v.Class != asn1.ClassUniversal {
		return nil, false
	}
	var out []byte
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, tagVisible:
		return v.Bytes, true
	case asn1.TagT61String: // read as Latin-1, as everybody does
		for _, c := range v.Bytes {
			out = utf8.AppendRune(out, rune(c))
		}
	case asn1.TagBMPString:
		var units []uint16
		for b := v.Bytes; len(b) >= 2; b = b[2:] {
			units = append(units, binary.BigEndian.Uint16(b))
		}
		out = []byte(string(utf16.Decode(units)))
	case tagUniversal:
		for b := v.Bytes; len(b) >= 4; b = b[4:] {
			out = utf8.AppendRune(out, rune(binary.BigEndian.Uint32(b)))
		}
	default:
		return nil, false
	}
	return out, true
}

// foldText lower-cases ASCII, trims white space, and makes each run of it one
// space.
func foldText(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, c := range bytes.TrimFunc(text, isSpace) {
		switch {
		case isSpace(rune(c)):
			if out[len(out)-1] != ' ' {
				out = append(out, ' ')
			}
		case 'A' <= c && c <= 'Z':
			out = append(out, c+'a'-'A')
		default:
			out = append(out, c)
		}
	}
	return out
}

func isSpace(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }
