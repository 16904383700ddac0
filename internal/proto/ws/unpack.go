package ws

import "errors"

// unpack decompresses payload.
func (in *inbound) unpack(pc piece) error {
	h, a := &in.sp.h, in.cur
	var err error
	if !h.masked {
		err = in.z.write(pc.bytes)
	}
	for p, at := pc.bytes, pc.at; h.masked && err == nil && len(p) > 0; {
		n := copy(in.scratch[:], p)
		xor(in.scratch[:n], h.mask, at)
		err = in.z.write(in.scratch[:n])
		p, at = p[n:], at+int64(n)
	}
	if err != nil {
		return in.unreadable(err)
	}
	return in.bound(a)
}

// errBomb says that a message is too much larger than it came.
var errBomb = errors.New("decompresses to too much")

// A message may decompress to bombSize octets, and then to bombRatio times what
// came; DEFLATE can make it a thousand times as much.
const (
	bombSize  = 64 << 20
	bombRatio = 100
)

// take takes in what the inflater makes of the data message.
func (in *inbound) take(p []byte) error {
	a := &in.msg
	if a.fate == held && a.size+int64(len(p)) > in.c.o.Assemble {
		in.note(noteTooLong)
		if err := in.spill(); err != nil {
			return err
		}
	}
	a.keep(p, [4]byte{}, 0, in.room(a))
	if a.fate == transcoded {
		return in.transcode(p)
	}
	if a.size > bombSize && a.size/bombRatio > a.wire {
		return errBomb
	}
	return nil
}

// unreadable deals with what the inflater says of a message.
func (in *inbound) unreadable(err error) error {
	a := &in.msg
	switch err {
	case errDamaged:
		in.note(noteDamaged)
	case errBomb:
		in.note(noteBomb)
	default:
		return err // of writing
	}
	in.blind = in.takeover
	in.z.forget()
	a.packed, a.opaque, a.hidden = false, true, true
	a.size, a.kept = a.wire, a.kept[:0]
	switch a.fate {
	case held:
		return in.spill()
	case transcoded:
		a.broken = true
	}
	return nil
}
