package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// The origin server's names. The clients' new names are below domain.
const (
	domain   = "bench.example"
	hostName = "www." + domain
)

// Files in the world's directory.
const (
	rootFile    = "root.pem"    // the authority of the origin server
	rootKeyFile = "root.key"    // its key
	fixedFile   = "haproxy.pem" // a certificate for all names, with its key
)

// rootName is the issuer of what the origin server shows.
const rootName = "Bench Root"

// An issuer signs certificates for the origin server. All have the same key.
type issuer struct {
	root *x509.Certificate
	sign *ecdsa.PrivateKey
	key  *ecdsa.PrivateKey
}

// writeCertificates makes the authority and the fixed certificate.
func writeCertificates(dir string) error {
	sign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	root := template(rootName)
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage, root.ExtKeyUsage = true, true, x509.KeyUsageCertSign, nil
	der, err := x509.CreateCertificate(rand.Reader, root, root, sign.Public(), sign)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(sign)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, rootFile), "CERTIFICATE", der); err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, rootKeyFile), "PRIVATE KEY", key); err != nil {
		return err
	}
	return writeFixed(dir)
}

// writeFixed writes the certificate and key that HAProxy shows for all names. It
// signs itself, so that a client can tell it from the origin server's.
func writeFixed(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template("*." + domain)
	t.DNSNames = []string{"*." + domain}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: cert}, {Type: "PRIVATE KEY", Bytes: der}} {
		if err := pem.Encode(&b, block); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, fixedFile), b.Bytes(), 0o600)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// openIssuer reads the authority, and makes a key for what it signs.
func openIssuer(dir string) (*issuer, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, rootFile), filepath.Join(dir, rootKeyFile))
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &issuer{root: pair.Leaf, sign: pair.PrivateKey.(*ecdsa.PrivateKey), key: key}, nil
}

// issue returns a certificate for a name.
func (i *issuer) issue(name string) (*tls.Certificate, error) {
	t := template(name)
	t.DNSNames = []string{name}
	der, err := x509.CreateCertificate(rand.Reader, t, i.root, i.key.Public(), i.sign)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.key}, nil
}

func template(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}
