package ws

import (
	"sync"

	"transom/message"
)

// An assembly is a message on its way.
type assembly struct {
	op     byte
	fate   fate
	packed bool   // the payload goes through the inflater
	opaque bool   // an extension changed the payload, and that is not undone
	size   int64  // octets of payload so far, as they are shown
	wire   int64  // and as they came
	view   []byte // all of the payload where it lies, if it could be left there
	kept   []byte // else as much of it as is kept
	lent   *[]byte
	raw    []byte  // its frames, while they are held
	taken  int64   // of the budget
	z      *packer // of a transcoded message
	begun  bool    // a frame of it was sent; of a transcoded message
	broken bool    // its compressed data turned out to be damaged
	hidden bool    // nothing of it is kept
}

// A fate is what becomes of a message's frames.
type fate uint8

const (
	through    fate = iota // they are sent as they come
	held                   // they wait until the message was handled
	transcoded             // others are sent, made as these come
)

// shelf lends memory for payload that has to be gathered; without it a message
// cut in two costs an allocation (BenchmarkRelay).
var shelf = sync.Pool{New: func() any { return new([]byte) }}

// maxShelved is the most that is put back there.
const maxShelved = 2 << 20

// begin makes a the beginning of a message.
func (a *assembly) begin(op byte, f fate) {
	*a = assembly{op: op, fate: f, raw: a.raw[:0]}
}

// keep adds payload as it is shown, up to room octets in all.
func (a *assembly) keep(p []byte, mask [4]byte, at int64, room int) {
	a.size += int64(len(p))
	n := min(len(p), room-len(a.kept))
	if n <= 0 || a.hidden {
		return
	}
	if a.lent == nil {
		a.lent = shelf.Get().(*[]byte)
		a.kept = (*a.lent)[:0]
	}
	if mask == [4]byte{} {
		a.kept = append(a.kept, p[:n]...)
	} else {
		a.kept = appendMasked(a.kept, p[:n], mask, at)
	}
}

// payload is what there is to show.
func (a *assembly) payload() []byte {
	if a.view != nil {
		return a.view
	}
	return a.kept
}

// entry describes a for the record.
func (a *assembly) entry(dir message.Direction, keep int) message.Entry {
	p := a.payload()
	return message.Entry{Dir: dir, Op: a.op, Size: a.size, Payload: p[:min(len(p), keep)], Encoded: a.opaque}
}

// free gives back what a has borrowed.
func (a *assembly) free() {
	if a.lent != nil {
		if cap(a.kept) <= maxShelved {
			*a.lent = a.kept[:0]
			shelf.Put(a.lent)
		}
		a.lent = nil
	}
	if a.z != nil {
		a.z.free()
		a.z = nil
	}
	a.kept, a.view = nil, nil
	if cap(a.raw) > keepScratch {
		a.raw = nil
	}
}
