package ca

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

// Roots returns the system's roots with the certificates of a PEM file added.
// A file without a certificate, or with one that can't be parsed, is an error.
func Roots(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	found := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in %s: %w", found+1, path, err)
		}
		pool.AddCert(cert)
		found++
	}
	if found == 0 {
		return nil, fmt.Errorf("%s has no certificate in PEM form; convert it with: openssl x509 -inform der -in FILE", path)
	}
	return pool, nil
}
