package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Info describes an authority to a person.
type Info struct {
	Name                string // what a device calls it in its list
	Subject             string // the whole name (RFC 4514)
	Key                 string // "RSA 2048", "ECDSA P-256", "Ed25519"
	Serial              string // hexadecimal
	SHA256, SHA1        string // fingerprints of the certificate, "AB:CD:…"
	NotBefore, NotAfter time.Time
	Path                string // the file with the key, "" if it lives in memory
	SelfSigned          bool   // it is a root; else it stands under another
	Made                bool   // Open made it: no device can trust it yet
}

// Info returns what there is to say about the authority.
func (a *Authority) Info() Info {
	c := a.root.cert
	s256, s1 := sha256.Sum256(c.Raw), sha1.Sum(c.Raw)
	return Info{
		Name:       displayName(c),
		Subject:    c.Subject.String(),
		Key:        keyName(c),
		Serial:     fmt.Sprintf("%x", c.SerialNumber),
		SHA256:     fingerprint(s256[:]),
		SHA1:       fingerprint(s1[:]),
		NotBefore:  c.NotBefore,
		NotAfter:   c.NotAfter,
		Path:       a.path,
		SelfSigned: selfSigned(c),
		Made:       a.made,
	}
}

// displayName is what lists of authorities show: the common name, or what else
// there is, without anything that can't be printed.
func displayName(c *x509.Certificate) string {
	name := c.Subject.String()
	if len(c.Subject.Organization) > 0 {
		name = c.Subject.Organization[0]
	}
	if c.Subject.CommonName != "" {
		name = c.Subject.CommonName
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name)
}

func keyName(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// fingerprint writes sum as fingerprints are compared: in pairs.
func fingerprint(sum []byte) string {
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum)), " ", ":")
}
