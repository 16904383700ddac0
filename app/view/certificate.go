package view

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
)

// certificates prints what X.509 certificates say, in PEM or DER. Of other
// blocks, as of keys, the kind alone is said.
func certificates(p *printer, body []byte) error {
	if !bytes.Contains(body, []byte("-----BEGIN ")) {
		all, err := x509.ParseCertificates(body)
		if err != nil {
			return faultAt(0, "%v", err)
		}
		for _, c := range all {
			p.certificate(c)
		}
		return nil
	}
	for rest := body; !p.stopped; {
		block, next := pem.Decode(rest)
		if block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				return faultAt(len(body)-len(rest), "no block of PEM")
			}
			return nil
		}
		rest = next
		if block.Type != "CERTIFICATE" {
			p.note(Note, fmt.Sprintf("%s, %d bytes", block.Type, len(block.Bytes)))
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			p.note(Fault, "a certificate that can't be read: "+err.Error())
			p.indent++
			_ = hex(p, block.Bytes)
			p.indent--
			continue
		}
		p.certificate(c)
	}
	return nil
}

func isPEM(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(body[:min(len(body), 64)]), []byte("-----BEGIN "))
}

func (p *printer) certificate(c *x509.Certificate) {
	p.heading("certificate")
	p.indent++
	defer func() { p.indent-- }()
	p.pair("subject", String, c.Subject.String())
	p.pair("issuer", String, c.Issuer.String())
	p.pair("serial", Number, fmt.Sprintf("%x", c.SerialNumber))
	p.pair("valid", String, c.NotBefore.UTC().Format(time.RFC3339)+" to "+c.NotAfter.UTC().Format(time.RFC3339))
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) > 0 {
		p.pair("names", String, strings.Join(names, ", "))
	}
	p.pair("key", String, keyName(c))
	p.pair("signed with", String, c.SignatureAlgorithm.String())
	if c.IsCA {
		p.pair("authority", Word, "true")
	}
	p.pair("SHA-256", String, fmt.Sprintf("%x", sha256.Sum256(c.Raw)))
}

func keyName(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}
