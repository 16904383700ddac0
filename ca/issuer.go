package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// rootLife is how long a new authority is valid. Installing one on a device is
// work, so it is long.
const rootLife = 3650 * day

// An issuer is a certificate that may sign others, and its key.
type issuer struct {
	cert  *x509.Certificate
	key   crypto.Signer
	chain [][]byte // what is sent after a leaf: cert, and those above it if any
}

// newIssuer makes an authority whose name begins with name and ends with
// something of its own. Two machines' authorities must not have the same
// subject: devices look issuers up by it, and Android names files after it.
func newIssuer(name string, useECDSA bool, now time.Time) (*issuer, error) {
	key, err := newKey(useECDSA)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	t := &x509.Certificate{
		SerialNumber: serial(),
		Subject: pkix.Name{
			CommonName:   name + " " + hex.EncodeToString(id[:4]),
			Organization: []string{"transom"},
		},
		NotBefore:             now.Add(-leafBackdate),
		NotAfter:              now.Add(rootLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,       // it signs leaves only
		SubjectKeyId:          id[:20:20], // RFC 7093, section 2, method 4
	}
	self := &issuer{cert: t, key: key}
	der, err := self.sign(t, key.Public())
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &issuer{cert: cert, key: key, chain: [][]byte{der}}, nil
}

// sign returns the certificate that t describes, for pub.
func (i *issuer) sign(t *x509.Certificate, pub crypto.PublicKey) ([]byte, error) {
	switch i.key.(type) {
	case *rsa.PrivateKey:
		t.SignatureAlgorithm = x509.SHA256WithRSA
	case *ecdsa.PrivateKey:
		t.SignatureAlgorithm = x509.ECDSAWithSHA256
	}
	return x509.CreateCertificate(rand.Reader, t, i.cert, pub, i.key)
}

// validAt says why i can't sign at now, if it can't.
func (i *issuer) validAt(now time.Time) error {
	const when = "2006-01-02 15:04 MST"
	if now.After(i.cert.NotAfter) {
		return fmt.Errorf("the certificate %q expired on %s: move its files away to have a new one made, "+
			"and install that on the devices", i.cert.Subject, i.cert.NotAfter.Format(when))
	}
	if now.Before(i.cert.NotBefore) {
		return fmt.Errorf("the certificate %q is valid only from %s and this machine's clock says %s: set the clock",
			i.cert.Subject, i.cert.NotBefore.Format(when), now.UTC().Format(when))
	}
	return nil
}

// pem returns key and certificates in one file, as parseIssuer reads them. The
// key comes first, as mitmproxy has it.
func (i *issuer) pem() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, der := range i.chain {
		out = append(out, certPEM(der)...)
	}
	return out, nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// parseIssuer reads a private key and its certificate from PEM, in any order.
// Further certificates are the chain above it. What it holds may be anything.
func parseIssuer(data []byte) (*issuer, error) {
	i := new(issuer)
	var certs []*x509.Certificate
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			break
		}
		switch {
		case b.Type == "CERTIFICATE":
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil {
				return nil, fmt.Errorf("certificate %d is damaged (%w): restore the file from a copy, "+
					"or move it away to have a new authority made", len(certs)+1, err)
			}
			certs = append(certs, c)
		case strings.HasSuffix(b.Type, "PRIVATE KEY"):
			if i.key != nil {
				return nil, errors.New("there are two private keys: leave the one that belongs to the certificate")
			}
			var err error
			if i.key, err = parseKey(b); err != nil {
				return nil, err
			}
		}
	}
	if i.key == nil {
		return nil, errors.New("there is no private key: it must hold a key and its certificate, both in PEM")
	}
	if len(certs) == 0 {
		return nil, errors.New("there is no certificate: it must hold a key and its certificate, both in PEM")
	}
	if err := i.choose(certs); err != nil {
		return nil, err
	}
	return i, i.mayIssue()
}

// parseKey reads a key in any of the three forms that programs write.
func parseKey(b *pem.Block) (crypto.Signer, error) {
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("the private key is encrypted: write it without its passphrase " +
			"(openssl pkey -in OLD -out NEW, then add the certificate)")
	}
	var key any
	var err error
	switch b.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	default:
		return nil, fmt.Errorf("a %s is of no use here: RSA, ECDSA and Ed25519 keys are", b.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("the private key is damaged (%w): restore the file from a copy", err)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of type %T can't sign certificates: RSA, ECDSA and Ed25519 keys can", key)
}

// choose finds the certificate of the key; the others go above it.
func (i *issuer) choose(certs []*x509.Certificate) error {
	pub := i.key.Public().(interface{ Equal(crypto.PublicKey) bool })
	for _, c := range certs {
		if i.cert == nil && pub.Equal(c.PublicKey) {
			i.cert = c
			i.chain = append([][]byte{c.Raw}, i.chain...)
		} else {
			i.chain = append(i.chain, c.Raw)
		}
	}
	if i.cert == nil {
		return fmt.Errorf("the private key does not belong to the certificate %q: "+
			"they come from two authorities; restore the pair from a copy", certs[0].Subject)
	}
	return nil
}

// mayIssue says why i's certificate is none that signs others, if so. The
// clients would say so too, but one by one and in worse words.
func (i *issuer) mayIssue() error {
	c := i.cert
	if !c.BasicConstraintsValid || !c.IsCA {
		return fmt.Errorf("the certificate %q is not an authority's (basic constraints, CA, is not set): "+
			"use one that is", c.Subject)
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("the certificate %q may not sign certificates (key usage lacks keyCertSign): "+
			"use one that may", c.Subject)
	}
	if k, ok := i.key.(*rsa.PrivateKey); ok && k.N.BitLen() < 1024 {
		return fmt.Errorf("the RSA key of %q has %d bits, which nobody accepts any more: use one of 2048",
			c.Subject, k.N.BitLen())
	}
	return nil
}

// selfSigned reports whether c is at the top of its chain.
func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }
