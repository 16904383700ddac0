package tls13

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"

	"transom/internal/proto/sniff"
)

// A suite is a cipher suite of TLS 1.3 (RFC 8446, appendix B.4).
type suite struct {
	id   uint16
	hash func() hash.Hash
	key  int // its size
	aead func(key []byte) (cipher.AEAD, error)
}

var suites = []*suite{
	{tls.TLS_AES_128_GCM_SHA256, sha256.New, 16, newGCM},
	{tls.TLS_AES_256_GCM_SHA384, sha512.New384, 32, newGCM},
	{tls.TLS_CHACHA20_POLY1305_SHA256, sha256.New, 32, chacha20poly1305.New},
}

func newGCM(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// choose returns the first of the client's suites that we have, nil if none.
func choose(h *sniff.Hello) *suite {
	for _, id := range h.CipherSuites {
		for _, s := range suites {
			if s.id == id {
				return s
			}
		}
	}
	return nil
}

// expand is HKDF-Expand-Label (RFC 8446, section 7.1).
func (s *suite) expand(secret []byte, label string, context []byte, size int) []byte {
	var b cryptobyte.Builder
	b.AddUint16(uint16(size))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("tls13 " + label)) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(context) })
	out, err := hkdf.Expand(s.hash, secret, string(b.BytesOrPanic()), size)
	if err != nil {
		panic("tls13: internal error: " + err.Error()) // sizes are ours
	}
	return out
}

// A schedule is the key schedule of one connection, without a pre-shared key,
// and the transcript that it hangs on.
type schedule struct {
	suite      *suite
	transcript hash.Hash
	secret     []byte // the one reached
}

func newSchedule(s *suite, hello []byte) *schedule {
	k := &schedule{suite: s, transcript: s.hash()}
	k.transcript.Write(hello)
	k.secret = k.extract(nil, make([]byte, k.transcript.Size()))
	return k
}

// add takes a message into the transcript, and returns it.
func (k *schedule) add(msg []byte) []byte {
	k.transcript.Write(msg)
	return msg
}

func (k *schedule) sum() []byte { return k.transcript.Sum(nil) }

func (k *schedule) extract(salt, input []byte) []byte {
	out, err := hkdf.Extract(k.suite.hash, input, salt)
	if err != nil {
		panic("tls13: internal error: " + err.Error())
	}
	return out
}

// derive is Derive-Secret of the transcript as it is.
func (k *schedule) derive(label string, transcript []byte) []byte {
	return k.suite.expand(k.secret, label, transcript, k.transcript.Size())
}

// next goes one step down the schedule.
func (k *schedule) next(input []byte) {
	k.secret = k.extract(k.derive("derived", k.suite.hash().Sum(nil)), input)
}

func (k *schedule) handshakeSecrets(shared []byte) (client, server []byte) {
	k.next(shared)
	return k.derive("c hs traffic", k.sum()), k.derive("s hs traffic", k.sum())
}

func (k *schedule) applicationSecrets() (client, server []byte) {
	k.next(make([]byte, k.transcript.Size()))
	return k.derive("c ap traffic", k.sum()), k.derive("s ap traffic", k.sum())
}

// verifyData is what a Finished says that is sent under secret.
func (k *schedule) verifyData(secret []byte) []byte {
	m := hmac.New(k.suite.hash, k.suite.expand(secret, "finished", nil, k.transcript.Size()))
	m.Write(k.sum())
	return m.Sum(nil)
}

func equal(a, b []byte) bool { return hmac.Equal(a, b) }

// log writes a line of the key log.
func (s *server) log(label string, secret []byte) {
	if s.cfg.KeyLog != nil {
		_, _ = s.cfg.KeyLog.Write([]byte(label + " " + hex.EncodeToString(s.random[:]) + " " + hex.EncodeToString(secret) + "\n"))
	}
}
