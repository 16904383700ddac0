package tlsterm

import (
	"crypto/tls"
	"slices"
	"strings"

	"transom/internal/proto/sniff"
)

// Offer returns what is offered to the server by ALPN: the client's list, less
// the versions of HTTP that are not in speak. If that leaves nothing, it is the
// client's list as it is: whoever can't parse what is agreed can relay it.
func Offer(client []string, speak ...string) []string {
	offer := make([]string, 0, len(client))
	for _, p := range client {
		if !isHTTP(p) || slices.Contains(speak, p) {
			offer = append(offer, p)
		}
	}
	if len(offer) == 0 {
		return client
	}
	return offer
}

// isHTTP reports whether an ALPN identifier means a version of HTTP.
func isHTTP(p string) bool {
	switch p {
	case "h2", "h2c", "h3":
		return true
	}
	return strings.HasPrefix(p, "http/") || strings.HasPrefix(p, "h3-") || strings.HasPrefix(p, "spdy/")
}

// versions returns the range of versions that the hello asks for and crypto/tls
// has; ok is false if there is none. Without supported_versions the client
// takes whatever is not above its own (RFC 8446, section 4.2.1).
func versions(h *sniff.Hello) (low, high uint16, ok bool) {
	if !slices.Contains(h.Extensions, extSupportedVersions) {
		high = min(h.LegacyVersion, tls.VersionTLS12)
		return tls.VersionTLS10, high, high >= tls.VersionTLS10
	}
	for _, v := range h.TLS.Versions {
		if v < tls.VersionTLS10 || v > tls.VersionTLS13 {
			continue
		}
		if !ok || v < low {
			low = v
		}
		high, ok = max(high, v), true
	}
	return low, high, ok
}

const extSupportedVersions = 43

// version returns the one that the client and a server limited to high will
// agree on, 0 if none.
func version(h *sniff.Hello, high uint16) uint16 {
	low, top, ok := versions(h)
	if v := min(top, high); ok && v >= low {
		return v
	}
	return 0
}

// Cipher suites before TLS 1.3 that crypto/tls has: modern ones, and those it
// leaves out unless asked (static RSA, CBC with SHA-256, 3DES, RC4), each in its
// order of preference.
var (
	modernSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	oldSuites = []uint16{
		tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA,
		tls.TLS_RSA_WITH_AES_128_CBC_SHA, tls.TLS_RSA_WITH_AES_256_CBC_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA,
		tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
	}
)

// acceptSuites are the suites for the client's leg: all that it offers.
func acceptSuites(h *sniff.Hello) []uint16 {
	ids := make([]uint16, 0, len(h.CipherSuites))
	for _, id := range h.CipherSuites {
		if slices.Contains(modernSuites, id) || slices.Contains(oldSuites, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// connectSuites are the suites for the server's leg: the modern ones, since the
// client may have offered what crypto/tls lacks (finite-field Diffie-Hellman),
// and of the old ones those the client offers.
func connectSuites(h *sniff.Hello) []uint16 {
	ids := slices.Clone(modernSuites)
	for _, id := range h.CipherSuites {
		if slices.Contains(oldSuites, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// offersLess reports whether the client offers cipher suites that are not in
// sent, our hello to the server. TLS 1.3 has its own, which all have; GREASE (RFC 8701) and the
// signalling values are no suites.
func offersLess(h, sent *sniff.Hello) bool {
	return slices.ContainsFunc(h.CipherSuites, func(id uint16) bool {
		switch {
		case id>>8 == 0x13, id&0x0f0f == 0x0a0a && id>>8 == id&0xff, id == 0x00ff, id == 0x5600:
			return false
		}
		return !slices.Contains(sent.CipherSuites, id)
	})
}

// classicGroups are offered if the client names none that crypto/tls has.
var classicGroups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// groups are the key exchange groups for the server's leg: the client's. A
// post-quantum share is large and not free, so it is sent, as crypto/tls does for
// a group it supports, only if the client sent one.
func groups(h *sniff.Hello) []tls.CurveID {
	var ids []tls.CurveID
	for _, g := range h.Groups {
		switch id := tls.CurveID(g); id {
		case tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024:
			if slices.Contains(h.KeyShares, g) {
				ids = append(ids, id)
			}
		case tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521:
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return classicGroups
	}
	return ids
}

// Suites that are signed by ECDSA, as crypto/tls has them.
var (
	ecdsaSuites12 = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	}
	ecdsaSuites10 = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
		tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA,
	}
)

// takesECDSA reports whether a client that agrees on version v can verify an
// ECDSA certificate on P-256.
func takesECDSA(h *sniff.Hello, v uint16) bool {
	if v >= tls.VersionTLS13 {
		return slices.Contains(h.SignatureAlgorithms, uint16(tls.ECDSAWithP256AndSHA256))
	}
	if !slices.Contains(h.Groups, uint16(tls.CurveP256)) || h.Points != nil && !slices.Contains(h.Points, 0) {
		return false
	}
	if v >= tls.VersionTLS12 {
		// Before TLS 1.3 the algorithm does not fix the curve.
		if !offersAny(h.SignatureAlgorithms, uint16(tls.ECDSAWithP256AndSHA256),
			uint16(tls.ECDSAWithP384AndSHA384), uint16(tls.ECDSAWithP521AndSHA512)) {
			return false
		}
		if offersAny(h.CipherSuites, ecdsaSuites12...) {
			return true
		}
	}
	return offersAny(h.CipherSuites, ecdsaSuites10...)
}

func offersAny(list []uint16, want ...uint16) bool {
	return slices.ContainsFunc(want, func(v uint16) bool { return slices.Contains(list, v) })
}
