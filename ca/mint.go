package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"sync/atomic"
	"time"
)

// A leaf is valid from a little ago, for devices whose clock is behind, and for
// 199 days in all: clients refuse more than 200 from certificates of 2026 on.
const (
	leafBackdate = 2 * day
	leafAhead    = 197 * day
	day          = 24 * time.Hour
)

// rsaBits is the size of the RSA keys we make, of roots and of leaves.
const rsaBits = 2048

// mint makes the leaf of s.
func (a *Authority) mint(ctx context.Context, s spec) (*tls.Certificate, time.Time, error) {
	w, now := s.parse(), a.now()
	by, err := a.signer(ctx, w.flags)
	if err != nil {
		return nil, time.Time{}, err
	}
	key, err := a.leafKey(ctx, w.flags)
	if err != nil {
		return nil, time.Time{}, err
	}
	t := template(&w)
	var renew time.Time
	if t.NotBefore.IsZero() {
		if err := by.validAt(now); err != nil {
			return nil, time.Time{}, err
		}
		t.NotBefore = latest(now.Add(-leafBackdate), by.cert.NotBefore)
		t.NotAfter = earliest(now.Add(leafAhead), by.cert.NotAfter)
		renew = now.Add(t.NotAfter.Sub(now) * 2 / 3)
	}
	der, err := by.sign(t, key.Public())
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("mint certificate for %s: %w", w.first, err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("mint certificate for %s: %w", w.first, err)
	}
	chain := append([][]byte{der}, by.chain...)
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, renew, nil
}

// template returns what the leaf says, without validity unless w has one.
func template(w *wanted) *x509.Certificate {
	t := &x509.Certificate{
		SerialNumber: serial(),
		// Without a subject, x509 marks the names critical, as RFC 5280,
		// section 4.2.1.6, wants.
		Subject:               pkix.Name{CommonName: w.first},
		NotBefore:             w.notBefore,
		NotAfter:              w.notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              w.dns,
	}
	if w.flags&flagRSA != 0 {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // for key exchange by RSA, TLS 1.2 and before
	}
	if w.org != "" {
		t.Subject.Organization = []string{w.org}
	}
	for _, ip := range w.addrs {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.AsSlice()))
	}
	return t
}

// signer returns who signs: the authority, or for untrusted leaves one that is
// made up for this process and shown to nobody. It is of the kind that the
// leaf's key is, so that the client that wants RSA can read the whole chain and
// complains about the issuer, not about a signature.
func (a *Authority) signer(ctx context.Context, flags byte) (*issuer, error) {
	if flags&flagUntrusted == 0 {
		return &a.root, nil
	}
	l := &a.untrustedECDSA
	if flags&flagRSA != 0 {
		l = &a.untrustedRSA
	}
	return l.get(ctx, func() (*issuer, error) {
		return newIssuer("transom untrusted", flags&flagRSA == 0, a.now())
	})
}

// leafKey returns the key of every leaf of a kind. It is never the authority's:
// what a TLS server holds in memory to answer anybody is not what signs.
func (a *Authority) leafKey(ctx context.Context, flags byte) (crypto.Signer, error) {
	if flags&flagRSA != 0 {
		return a.keyRSA.get(ctx, func() (crypto.Signer, error) { return newKey(false) })
	}
	return a.keyECDSA.get(ctx, func() (crypto.Signer, error) { return newKey(true) })
}

func newKey(useECDSA bool) (crypto.Signer, error) {
	if useECDSA {
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	return rsa.GenerateKey(rand.Reader, rsaBits)
}

// serial returns a random serial number of 128 bits.
func serial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[15] |= 1      // positive, as RFC 5280, section 4.1.2.2, wants
	return new(big.Int).SetBytes(b[:])
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// A lazy is made by the first who needs it. Those who come meanwhile wait, but
// not longer than they want to; a failure is not kept.
type lazy[T any] struct {
	turn chan struct{} // capacity 1, holds who is making it
	made atomic.Pointer[T]
}

func newLazy[T any]() lazy[T] { return lazy[T]{turn: make(chan struct{}, 1)} }

func (l *lazy[T]) get(ctx context.Context, make func() (T, error)) (v T, err error) {
	if p := l.made.Load(); p != nil {
		return *p, nil
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return v, context.Cause(ctx)
	}
	if p := l.made.Load(); p != nil {
		return *p, nil
	}
	if v, err = make(); err == nil {
		l.made.Store(&v)
	}
	return v, err
}
