package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
)

// holds reports whether a bundle of certificates in PEM form has cert among them.
// OpenSSL's trusted form counts: there the certificate comes first.
func holds(bundle []byte, cert *x509.Certificate) bool {
	if !bytes.Contains(bundle, beginning(cert)) {
		return false // as nearly always; decoding all of it takes far longer
	}
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

// beginning is how cert begins in PEM form: less than any line of it, and enough
// that few others begin alike.
func beginning(cert *x509.Certificate) []byte {
	const lengthsAndSerial = 24
	return []byte(base64.StdEncoding.EncodeToString(cert.Raw[:min(lengthsAndSerial, len(cert.Raw))]))
}
