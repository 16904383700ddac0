package wire

import (
	"encoding/binary"
	"net/netip"
	"time"

	"transom/flow"
)

// A writer appends to b. It is a value, so that it stays on its caller's stack.
type writer struct{ b []byte }

func (w *writer) octet(v uint8)   { w.b = append(w.b, v) }
func (w *writer) integer(v int64) { w.number(uint64(v<<1 ^ v>>63)) }
func (w *writer) id(id flow.ID)   { w.b = append(w.b, id[:]...) }
func (w *writer) text(s string)   { w.number(uint64(len(s))); w.b = append(w.b, s...) }
func (w *writer) bytes(p []byte)  { w.number(uint64(len(p))); w.b = append(w.b, p...) }
func (w *writer) time(t time.Time, since time.Time) {
	if t.IsZero() {
		w.octet(0)
		return
	}
	s := t.Unix() - since.Unix()
	w.number(uint64(s<<1^s>>63) + 1) // zigzag
	w.integer(int64(t.Nanosecond() - since.Nanosecond()))
}

// number is short for most: small enough to be inlined.
func (w *writer) number(v uint64) {
	if v < 0x80 {
		w.b = append(w.b, byte(v))
		return
	}
	w.b = binary.AppendUvarint(w.b, v)
}

func (w *writer) truth(v bool) {
	if v {
		w.octet(1)
	} else {
		w.octet(0)
	}
}

func (w *writer) texts(ss []string) {
	w.number(uint64(len(ss)))
	for _, s := range ss {
		w.text(s)
	}
}

// mayID writes an ID that often is none.
func (w *writer) mayID(id flow.ID) {
	w.truth(!id.IsZero())
	if !id.IsZero() {
		w.id(id)
	}
}

func (w *writer) addr(a netip.AddrPort) {
	switch ip := a.Addr(); {
	case ip.Is4():
		b := ip.As4()
		w.octet(4)
		w.b = append(w.b, b[:]...)
	case ip.Is6():
		b := ip.As16()
		w.octet(16)
		w.b = append(w.b, b[:]...)
		w.text(ip.Zone())
	default:
		w.octet(0)
	}
	w.number(uint64(a.Port()))
}

// begin begins a block; end ends the one that begin has returned.
func (w *writer) begin() int {
	w.b = append(w.b, 0)
	return len(w.b)
}

func (w *writer) end(begun int) {
	n := len(w.b) - begun
	if n < 0x80 {
		w.b[begun-1] = byte(n)
		return
	}
	var length [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(length[:], uint64(n))
	w.b = append(w.b, length[:k-1]...) // room
	copy(w.b[begun+k-1:], w.b[begun:begun+n])
	copy(w.b[begun-1:], length[:k])
}

// nothing is in place of a block.
func (w *writer) nothing() { w.octet(0) }
