// Package ca is the certificate authority: a root that the user trusts, kept in
// a directory or in memory, and the leaf certificates minted under it. It also
// writes the root in the forms that devices install. It dials nobody, verifies
// nobody, and touches no trust store.
package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
)

// An Issuer mints leaf certificates. Its methods may be called by many
// goroutines.
type Issuer interface {
	// Issue returns a certificate for l, minted once however many ask at the
	// same time, from a bounded cache. The result is shared and must not be
	// modified.
	Issue(ctx context.Context, l Leaf) (*tls.Certificate, error)
	// Root is the authority's own certificate.
	Root() *x509.Certificate
}

// A Leaf says what certificate is wanted.
type Leaf struct {
	Name string     // the SNI as sent, "" if none; kept only if it is a usable DNS name or an address
	Addr netip.Addr // the original destination, if known
	// Like is the real server's certificate; names and organisation follow it.
	// Nil if it is not known.
	Like *x509.Certificate
	// RSA asks for an RSA key, for clients that can't use ECDSA.
	RSA bool
	// Untrusted asks for a leaf that no client of ours will trust, with Like's
	// validity and only Like's names: the mirror image of a server whose
	// certificate did not verify, whatever the reason was.
	Untrusted bool
}
