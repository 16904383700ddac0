package tls13

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"io"
)

// Record types and sizes (RFC 8446, section 5).
const (
	recordChangeCipherSpec = 20
	recordAlert            = 21
	recordHandshake        = 22
	recordApplicationData  = 23

	recordHeader   = 5
	maxPlaintext   = 1 << 14
	maxCiphertext  = maxPlaintext + 256
	maxIdleRecords = 16 // in a row, that bring nothing
)

// A half is one direction's protection. The zero half has none.
type half struct {
	aead   cipher.AEAD
	iv     [12]byte
	nonce  [12]byte
	seq    uint64
	secret []byte // traffic secret that the keys are of
}

// turn begins to use the keys of secret (RFC 8446, section 7.3).
func (h *half) turn(s *suite, secret []byte) (err error) {
	h.secret, h.seq = secret, 0
	copy(h.iv[:], s.expand(secret, "iv", nil, len(h.iv)))
	h.aead, err = s.aead(s.expand(secret, "key", nil, s.key))
	return err
}

// update turns to the keys after the present ones (RFC 8446, section 7.2).
func (h *half) update(s *suite) error {
	return h.turn(s, s.expand(h.secret, "traffic upd", nil, len(h.secret)))
}

// next returns the nonce of the next record (RFC 8446, section 5.3).
func (h *half) next() []byte {
	h.nonce = h.iv
	low := h.nonce[4:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^h.seq)
	return h.nonce[:]
}

// seal appends a record with p, which fits in one.
func (h *half) seal(b []byte, typ uint8, p []byte) []byte {
	if h.aead == nil {
		b = append(b, typ, 3, 3, byte(len(p)>>8), byte(len(p)))
		return append(b, p...)
	}
	n := len(p) + 1 + h.aead.Overhead()
	from := len(b)
	b = append(b, recordApplicationData, 3, 3, byte(n>>8), byte(n))
	b = append(append(b, p...), typ)
	body := b[from+recordHeader:]
	out := h.aead.Seal(body[:0], h.next(), body, b[from:from+recordHeader])
	h.seq++
	return append(b[:from+recordHeader], out...)
}

// open decrypts a record in place.
func (h *half) open(header, body []byte) (p []byte, ok bool) {
	p, err := h.aead.Open(body[:0], h.next(), body, header)
	if err != nil {
		return nil, false
	}
	h.seq++
	return p, true
}

// record reads the next record that means something. What it returns is valid
// until the next call. An error of the conn below may pass: after a timeout it
// goes on where it was.
func (c *Conn) record() (typ uint8, p []byte, err error) {
	for {
		head, err := c.peek(recordHeader)
		if err != nil {
			return 0, nil, err
		}
		typ, n := head[0], int(head[3])<<8|int(head[4])
		if n > maxCiphertext || c.in.aead == nil && n > maxPlaintext {
			return 0, nil, c.fail(recordOverflow)
		}
		whole, err := c.peek(recordHeader + n)
		if err != nil {
			return 0, nil, err
		}
		if _, err := c.r.Discard(len(whole)); err != nil {
			return 0, nil, err
		}
		head, body := whole[:recordHeader], whole[recordHeader:]
		switch {
		case c.in.aead == nil:
			return typ, body, nil
		case typ == recordChangeCipherSpec && !c.complete:
			if n != 1 || body[0] != 1 || c.idle() {
				return 0, nil, c.fail(unexpectedMessage)
			}
			continue
		case typ == recordAlert && n == 2 && c.in.seq == 0 && !c.complete:
			return typ, body, nil // from a client that has no keys yet
		case typ != recordApplicationData:
			return 0, nil, c.fail(unexpectedMessage)
		}
		p, ok := c.in.open(head, body)
		switch {
		case ok:
			c.skip = 0
			return c.inner(p)
		case len(whole) > c.skip:
			return 0, nil, c.fail(badRecordMAC)
		}
		c.skip -= len(whole) // early data, under a key that we don't have
	}
}

// inner takes padding off and returns the type that was under it (RFC 8446,
// section 5.4).
func (c *Conn) inner(p []byte) (typ uint8, _ []byte, err error) {
	if len(p) > maxPlaintext+1 {
		return 0, nil, c.fail(recordOverflow)
	}
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0 {
			return p[i], p[:i], nil
		}
	}
	return 0, nil, c.fail(unexpectedMessage)
}

// peek waits for n bytes and does not take them.
func (c *Conn) peek(n int) ([]byte, error) {
	p, err := c.r.Peek(n)
	if len(p) == n {
		return p, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // close_notify was to come first
	}
	return nil, err
}

// idle counts a record that brought nothing, and reports whether these are too
// many.
func (c *Conn) idle() bool {
	c.idles++
	return c.idles > maxIdleRecords
}
