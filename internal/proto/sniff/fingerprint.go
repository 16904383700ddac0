package sniff

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
)

// ja3 returns the JA3 fingerprint: the MD5 of version, cipher suites,
// extensions, groups and point formats in decimal, in the order they were sent,
// without GREASE.
func (h *Hello) ja3() string {
	var room [1024]byte
	b := strconv.AppendUint(room[:0], uint64(h.LegacyVersion), 10)
	b = appendDecimal(append(b, ','), h.CipherSuites)
	b = appendDecimal(append(b, ','), h.Extensions)
	b = appendDecimal(append(b, ','), h.Groups)
	b = append(b, ',')
	for i, p := range h.Points {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(p), 10)
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

func appendDecimal(b []byte, list []uint16) []byte {
	first := true
	for _, v := range list {
		if grease(v) {
			continue
		}
		if !first {
			b = append(b, '-')
		}
		b, first = strconv.AppendUint(b, uint64(v), 10), false
	}
	return b
}

// ja4 returns the JA4 fingerprint of a hello sent over TCP: what is offered at
// a glance, a hash of the sorted cipher suites, and one of the sorted
// extensions with the signature algorithms in their order.
func (h *Hello) ja4() string {
	var room [64]uint16
	var out [36]byte

	suites := sortedWithout(room[:0], h.CipherSuites, nil)
	b := append(out[:0], 't')
	b = append(b, ja4Version(h.TLS.Versions)...)
	if contains(h.Extensions, extServerName) {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	b = appendCount(b, len(suites))
	b = appendCount(b, len(h.Extensions)-countGREASE(h.Extensions))
	first, last := ja4ALPN(h.TLS.ALPN)
	b = append(b, first, last, '_')
	b = appendHash(b, suites, nil)
	b = append(b, '_')

	exts := sortedWithout(room[:0], h.Extensions, []uint16{extServerName, extALPN})
	b = appendHash(b, exts, h.SignatureAlgorithms)
	return string(b)
}

// ja4Version names the highest version offered.
func ja4Version(versions []uint16) string {
	if len(versions) == 0 {
		return "00"
	}
	switch slices.Max(versions) {
	case 0x0304:
		return "13"
	case 0x0303:
		return "12"
	case 0x0302:
		return "11"
	case 0x0301:
		return "10"
	case 0x0300:
		return "s3"
	case 0x0002:
		return "s2"
	}
	return "00"
}

// ja4ALPN returns the first and last character of the first protocol, or of its
// hexadecimal form if one of them is neither letter nor digit.
func ja4ALPN(protocols []string) (first, last byte) {
	if len(protocols) == 0 || protocols[0] == "" {
		return '0', '0'
	}
	p := protocols[0]
	first, last = p[0], p[len(p)-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		const digits = "0123456789abcdef"
		first, last = digits[first>>4], digits[last&15]
	}
	return first, last
}

func alphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// appendCount appends n as two digits, 99 at most.
func appendCount(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

// appendHash appends the first 12 hexadecimal digits of the SHA-256 of list and
// tail, or zeros if list is empty.
func appendHash(b []byte, list, tail []uint16) []byte {
	if len(list) == 0 {
		return append(b, "000000000000"...)
	}
	var room [768]byte
	text := appendHex(room[:0], list)
	if n := len(tail) - countGREASE(tail); n > 0 {
		text = appendHex(append(text, '_'), tail)
	}
	sum := sha256.Sum256(text)
	return hex.AppendEncode(b, sum[:6])
}

func appendHex(b []byte, list []uint16) []byte {
	const digits = "0123456789abcdef"
	first := true
	for _, v := range list {
		if grease(v) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		b, first = append(b, digits[v>>12], digits[v>>8&15], digits[v>>4&15], digits[v&15]), false
	}
	return b
}

// sortedWithout appends to into what list has besides GREASE and drop, sorted.
func sortedWithout(into, list, drop []uint16) []uint16 {
	for _, v := range list {
		if !grease(v) && !contains(drop, v) {
			into = append(into, v)
		}
	}
	slices.Sort(into)
	return into
}

func countGREASE(list []uint16) int {
	n := 0
	for _, v := range list {
		if grease(v) {
			n++
		}
	}
	return n
}
