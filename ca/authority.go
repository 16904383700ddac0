package ca

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"
)

var _ Issuer = (*Authority)(nil)

// Options say how an authority works. The zero Options are good.
type Options struct {
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Leaves is how many leaf certificates are kept; 0 is 4096. Their memory is
	// bounded too, at 8 KiB for each on average.
	Leaves int
	// Host is what a new authority calls this machine in its own name; "" asks
	// the operating system.
	Host string
	// ECDSA gives a new authority a P-256 key. It signs some twenty times as
	// fast as the RSA key it has otherwise.
	//
	// RSA is the default because a chain is only as readable as its oldest
	// signature: a client that can't do ECDSA (old Java, televisions, Android
	// before 4) could not verify even an RSA leaf if ECDSA had signed it. A
	// signature is made once a name, verifying RSA is the cheaper half of it,
	// and 2048 bits are what every device of the last twenty years takes.
	ECDSA bool
	// Owner is who new files and directories are given to, for a process that
	// acts for somebody else; nil leaves them to who makes them.
	Owner *Owner

	look bool // nothing is to be written
}

// An Owner is a user and group by number.
type Owner struct{ UID, GID int }

// An Authority is a root certificate, its key, and the leaves minted under it.
// It is an [Issuer]; its methods may be called by many goroutines.
type Authority struct {
	root issuer
	now  func() time.Time
	path string // of the file with the key, "" in memory
	base string // what exported files are called, without extension
	made bool   // by Open, just now

	leaves                       *cache
	keyECDSA, keyRSA             lazy[crypto.Signer]
	untrustedECDSA, untrustedRSA lazy[*issuer]
}

// New makes an authority that lives in memory only.
func New(o Options) (*Authority, error) {
	i, err := o.newRoot()
	if err != nil {
		return nil, err
	}
	return o.authority(i), nil
}

// Parse returns the authority whose private key and certificate are in data,
// in PEM, in any order. Certificates beyond its own are taken for the chain
// above it and sent along. The key may be in PKCS#8, PKCS#1 or SEC 1 form.
func Parse(data []byte, o Options) (*Authority, error) {
	i, err := parseIssuer(data)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	a := o.authority(i)
	if err := i.validAt(a.now()); err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return a, nil
}

func (o *Options) newRoot() (*issuer, error) {
	i, err := newIssuer(o.rootName(), o.ECDSA, o.clock()())
	if err != nil {
		return nil, fmt.Errorf("make a certificate authority: %w", err)
	}
	return i, nil
}

// rootName is the name of a new authority, as a person reads it in a device's
// list of authorities: whose it is, and which machine's.
func (o *Options) rootName() string {
	host := o.Host
	if host == "" {
		host, _ = os.Hostname() // without one, the key's identifier is enough
	}
	host, _, _ = strings.Cut(host, ".")
	name, ok := appendDNSName(nil, host)
	if !ok || len(name) > 32 {
		return "transom CA"
	}
	return "transom CA " + string(name)
}

func (o *Options) clock() func() time.Time {
	if o.Now == nil {
		return time.Now
	}
	return o.Now
}

func (o *Options) authority(i *issuer) *Authority {
	a := &Authority{
		root: *i, now: o.clock(), base: ownName + certSuffix,
		keyECDSA: newLazy[crypto.Signer](), keyRSA: newLazy[crypto.Signer](),
		untrustedECDSA: newLazy[*issuer](), untrustedRSA: newLazy[*issuer](),
	}
	size := o.Leaves
	if size <= 0 {
		size = 4096
	}
	a.leaves = newCache(size, a.mint)
	return a
}

// Issue returns the certificate for l: a leaf followed by the authority's own
// certificate, with the leaf parsed. Its names are those of l.Like, then l.Name,
// then l.Addr, as far as they are names; without any it is for a name that does
// not exist. It is shared and must not be modified.
//
// Issue computes for about a millisecond if the leaf is new, and the first time
// that RSA is asked for some hundred. While another caller is at that, it waits
// until ctx is done, and then returns context.Cause(ctx).
func (a *Authority) Issue(ctx context.Context, l Leaf) (*tls.Certificate, error) {
	var buf [1024]byte
	return a.leaves.get(ctx, appendSpec(buf[:0], &l), a.now())
}

// Root is the certificate that signs the leaves. It must not be modified.
func (a *Authority) Root() *x509.Certificate { return a.root.cert }
