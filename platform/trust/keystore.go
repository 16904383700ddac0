package trust

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"

	"software.sslmate.com/src/go-pkcs12"
)

// A javaRoot is a trusted certificate of a Java keystore.
type javaRoot struct {
	alias string            // "" if it is not known
	cert  *x509.Certificate // Raw may be all that is set
}

func (r javaRoot) is(cert *x509.Certificate) bool { return bytes.Equal(r.cert.Raw, cert.Raw) }

// readKeystore reads the trusted certificates of a keystore in either of Java's
// forms. JDK 18 and newer come with one that has no password.
func readKeystore(data []byte, password string) ([]javaRoot, error) {
	if len(data) == 0 {
		return nil, errors.New("it is empty, or can't be read")
	}
	if bytes.HasPrefix(data, jksMagic[:]) {
		return readJKS(data)
	}
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err != nil {
		if open, e := pkcs12.DecodeTrustStore(data, ""); e == nil {
			certs, err = open, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("neither JKS nor a PKCS#12 trust store of this password: %w", err)
	}
	var roots []javaRoot
	for _, c := range certs {
		roots = append(roots, javaRoot{cert: c})
	}
	return roots, nil
}

// jksMagic begins Java's own form of keystore.
var jksMagic = [...]byte{0xfe, 0xed, 0xfe, 0xed}

// What an entry of it holds.
const (
	jksPrivateKey = 1
	jksTrusted    = 2
)

// errJKS is the only thing to say of a keystore that isn't one.
var errJKS = errors.New("a JKS keystore that is cut short, or of an unknown version")

// readJKS reads the trusted certificates of a JKS keystore, and passes over its
// private keys. The digest at its end is not looked at: it protects nothing, as
// everybody knows the password.
func readJKS(data []byte) ([]javaRoot, error) {
	r := jksReader{rest: data[len(jksMagic):]}
	r.version = r.uint32()
	if r.version != 1 && r.version != 2 {
		return nil, errJKS
	}
	var roots []javaRoot
	for left := r.uint32(); left > 0 && !r.short; left-- {
		tag, alias := r.uint32(), string(r.bytes(r.uint16()))
		r.bytes(8) // when it was made
		switch tag {
		case jksTrusted:
			roots = append(roots, javaRoot{alias, &x509.Certificate{Raw: r.certificate()}})
		case jksPrivateKey:
			r.bytes(r.uint32())
			for chain := r.uint32(); chain > 0 && !r.short; chain-- {
				r.certificate()
			}
		default:
			return nil, errJKS
		}
	}
	if r.short {
		return nil, errJKS
	}
	return roots, nil
}

// writeJKS writes a keystore that any Java reads. Java opens the file with its default
// roots without a password, and then finds none in a PKCS#12 store that is encrypted;
// one that isn't is too new for many.
func writeJKS(roots []javaRoot, password string) []byte {
	out := append([]byte(nil), jksMagic[:]...)
	out = binary.BigEndian.AppendUint32(out, 2)
	out = binary.BigEndian.AppendUint32(out, uint32(len(roots)))
	text := func(s string) {
		s = s[:min(len(s), 1<<16-1)]
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(s))), s...)
	}
	for _, r := range roots {
		out = binary.BigEndian.AppendUint32(out, jksTrusted)
		if r.alias == "" {
			r.alias = Label(r.cert) // of two with one name Java takes one
		}
		text(r.alias)
		out = binary.BigEndian.AppendUint64(out, 0) // 1970: when it was put there is nobody's matter
		text("X.509")
		out = binary.BigEndian.AppendUint32(out, uint32(len(r.cert.Raw)))
		out = append(out, r.cert.Raw...)
	}
	digest := sha1.New()
	for _, unit := range utf16.Encode([]rune(password)) {
		digest.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	digest.Write([]byte("Mighty Aphrodite")) // so that it is no plain digest, in the words of the format
	digest.Write(out)
	return digest.Sum(out)
}

// A jksReader reads big-endian numbers and what they count. After the end
// everything is zero, and short.
type jksReader struct {
	rest    []byte
	version uint32
	short   bool
}

func (r *jksReader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.rest, r.short = nil, true
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *jksReader) uint32() uint32 {
	b := r.bytes(4)
	if r.short {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (r *jksReader) uint16() uint32 {
	b := r.bytes(2)
	if r.short {
		return 0
	}
	return uint32(binary.BigEndian.Uint16(b))
}

// certificate reads one; since version 2 its type stands before it.
func (r *jksReader) certificate() []byte {
	if r.version == 2 {
		r.bytes(r.uint16())
	}
	return r.bytes(r.uint32())
}
