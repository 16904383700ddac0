package segment

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

// A box seals the payloads of one segment. The nonce is the record's offset: a segment
// has a key of its own, and offsets are given once. Kind and length are authenticated
// with it, so a payload fits nowhere else. Whole records that are missing, as after a
// compaction, are not noticed.
type box struct{ cipher.AEAD }

// keyIDSize is how much of the header tells which key a segment is sealed under.
const keyIDSize = 8

// box returns that of a segment.
func (k *dataKey) box(h header) *box {
	a, err := chacha20poly1305.New(k.derive(h, "payload", chacha20poly1305.KeySize))
	if err != nil {
		panic(err) // only a key of another size
	}
	return &box{a}
}

// keyID returns what tells the key of a segment from others.
func (k *dataKey) keyID(h header) [keyIDSize]byte {
	return [keyIDSize]byte(k.derive(h, "id", keyIDSize))
}

// A place is what binds a payload to where it stands. It is kept by who seals or opens
// many, since a cipher has it allocated.
type place struct {
	nonce [chacha20poly1305.NonceSize]byte
	word  [4]byte
}

func (p *place) set(f frame) {
	clear(p.nonce[8:])
	binary.LittleEndian.PutUint64(p.nonce[:], uint64(f.offset))
	binary.LittleEndian.PutUint32(p.word[:], uint32(f.length)|uint32(f.kind)<<24)
}

// seal seals a payload where it stands, behind which there is room for sealSize more.
// The frame's length is that of what it returns.
func (x *box) seal(p *place, f frame, payload []byte) []byte {
	p.set(f)
	return x.Seal(payload[:0], p.nonce[:], payload, p.word[:])
}

// kindAnew is set in the kind of a payload that was sealed in place of another one. The offset has been
// a nonce then: the payload begins with one of its own, by chance.
const kindAnew = 0x80

// sealAnew seals what takes the place of a payload.
func (x *box) sealAnew(f frame, payload []byte) (frame, []byte) {
	var p place
	f.kind |= kindAnew
	f.length = len(p.nonce) + len(payload) + sealSize
	p.set(f)
	rand.Read(p.nonce[:])
	stored := append(make([]byte, 0, f.length), p.nonce[:]...)
	return f, x.Seal(stored, p.nonce[:], payload, p.word[:])
}

// open opens a payload where it stands.
func (x *box) open(p *place, f frame, stored []byte) (payload []byte, ok bool) {
	if p.set(f); f.kind&kindAnew != 0 {
		if len(stored) < len(p.nonce) {
			return nil, false
		}
		stored = stored[copy(p.nonce[:], stored):]
	}
	payload, err := x.Open(stored[:0], p.nonce[:], stored, p.word[:])
	return payload, err == nil
}
