package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
)

// holds reports whether a bundle of certificates in PEM form has cert among them.
// OpenSSL's trusted form counts: there the certificate comes first.
func holds(bundle []byte, cert *x509.Certificate) bool {
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE":
			if bytes.Equal(block.Bytes, cert.Raw) {
				return true
			}
		case "TRUSTED CERTIFICATE":
			if bytes.HasPrefix(block.Bytes, cert.Raw) {
				return true
			}
		}
	}
	return false
}
