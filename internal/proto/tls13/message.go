package tls13

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"

	"transom/internal/proto/sniff"
)

// Handshake messages (RFC 8446, section 4).
const (
	typeClientHello         = 1
	typeServerHello         = 2
	typeEncryptedExtensions = 8
	typeCertificate         = 11
	typeCertificateVerify   = 15
	typeFinished            = 20
	typeKeyUpdate           = 24
)

// message builds one.
func message(typ uint8, body func(b *cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	b.AddUint8(typ)
	b.AddUint24LengthPrefixed(body)
	return b.BytesOrPanic()
}

func serverHello(random [32]byte, session []byte, suite uint16, group tls.CurveID, share []byte) []byte {
	return message(typeServerHello, func(b *cryptobyte.Builder) {
		b.AddUint16(tls.VersionTLS12) // the real one is in an extension
		b.AddBytes(random[:])
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(session) })
		b.AddUint16(suite)
		b.AddUint8(0) // no compression
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			extension(b, 43, func(b *cryptobyte.Builder) { b.AddUint16(tls.VersionTLS13) })
			extension(b, 51, func(b *cryptobyte.Builder) {
				b.AddUint16(uint16(group))
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(share) })
			})
		})
	})
}

func extension(b *cryptobyte.Builder, typ uint16, content func(b *cryptobyte.Builder)) {
	b.AddUint16(typ)
	b.AddUint16LengthPrefixed(content)
}

// encryptedExtensions has no early_data: that is what refuses it (RFC 8446,
// section 4.2.10).
func encryptedExtensions(protocol string) []byte {
	return message(typeEncryptedExtensions, func(b *cryptobyte.Builder) {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			if protocol == "" {
				return
			}
			extension(b, 16, func(b *cryptobyte.Builder) {
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
					b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(protocol)) })
				})
			})
		})
	})
}

func certificate(chain [][]byte) []byte {
	return message(typeCertificate, func(b *cryptobyte.Builder) {
		b.AddUint8(0) // no context
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, der := range chain {
				b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
				b.AddUint16(0) // no extensions
			}
		})
	})
}

func certificateVerify(scheme tls.SignatureScheme, signature []byte) []byte {
	return message(typeCertificateVerify, func(b *cryptobyte.Builder) {
		b.AddUint16(uint16(scheme))
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signature) })
	})
}

func finished(verifyData []byte) []byte {
	return message(typeFinished, func(b *cryptobyte.Builder) { b.AddBytes(verifyData) })
}

// sessionID returns what the client wants to hear again (RFC 8446, section
// 4.1.3).
func sessionID(h *sniff.Hello) []byte {
	s := cryptobyte.String(h.TLS.Hello)
	var id cryptobyte.String
	s.Skip(4 + 2 + 32)
	s.ReadUint8LengthPrefixed(&id)
	return id
}

// signatureScheme returns how a key signs for the client, 0 if it can't verify
// that.
func signatureScheme(h *sniff.Hello, key crypto.PrivateKey) (tls.SignatureScheme, crypto.Hash) {
	var scheme tls.SignatureScheme
	var hash crypto.Hash
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve.Params().BitSize {
		case 256:
			scheme, hash = tls.ECDSAWithP256AndSHA256, crypto.SHA256
		case 384:
			scheme, hash = tls.ECDSAWithP384AndSHA384, crypto.SHA384
		case 521:
			scheme, hash = tls.ECDSAWithP521AndSHA512, crypto.SHA512
		}
	case *rsa.PrivateKey:
		scheme, hash = tls.PSSWithSHA256, crypto.SHA256
	case ed25519.PrivateKey:
		scheme = tls.Ed25519
	}
	if !slices.Contains(h.SignatureAlgorithms, uint16(scheme)) {
		return 0, 0
	}
	return scheme, hash
}

// sign makes the signature of a CertificateVerify (RFC 8446, section 4.4.3).
func sign(key crypto.PrivateKey, hash crypto.Hash, transcript []byte) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the certificate's key can't sign")
	}
	content := []byte(strings.Repeat(" ", 64) + "TLS 1.3, server CertificateVerify\x00" + string(transcript))
	var opts crypto.SignerOpts = hash
	if _, ok := key.(*rsa.PrivateKey); ok {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}
	}
	if hash != 0 {
		h := hash.New()
		h.Write(content)
		content = h.Sum(nil)
	}
	return signer.Sign(rand.Reader, content, opts)
}
