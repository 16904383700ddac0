package ws

import "context"

// handle takes p apart and sends what is to be sent of it.
func (in *inbound) handle(ctx context.Context, p []byte) error {
	in.ahead = false
	for len(p) > 0 {
		pc, n, err := in.sp.next(p)
		if err != nil {
			return in.fallBack(p)
		}
		if err := in.look(ctx, pc); err != nil {
			return err
		}
		p = p[n:]
	}
	if !in.handles { // watch takes over, which has sent whatever it has seen
		in.ahead = true
		return in.put(in.sp.partial())
	}
	return in.putAside()
}

// fallBack sends what is held and then the rest as it is, for good.
func (in *inbound) fallBack(p []byte) error {
	if err := in.release(); err != nil {
		return err
	}
	in.out.begin()
	in.giveUp()
	in.out.end()
	return in.passRaw(p)
}

// release sends whatever is held, as it came.
func (in *inbound) release() error {
	if in.ahead { // nothing is
		return nil
	}
	if in.open && in.msg.fate == held {
		if err := in.spill(); err != nil {
			return err
		}
	}
	if in.open && in.msg.fate == transcoded {
		if err := in.sendTranscoded(false); err != nil {
			return err
		}
	}
	if err := in.putAside(); err != nil {
		return err
	}
	if in.sp.inside && in.cur == &in.ctl && in.ctl.fate == held {
		if err := in.put(in.ctl.raw); err != nil {
			return err
		}
	}
	return in.put(in.sp.partial())
}

// emit sends octets of the frame under way, or holds them.
func (in *inbound) emit(p []byte) error {
	a := in.cur
	switch {
	case a.fate == held:
		a.raw = append(a.raw, p...)
	case a.fate == through && !in.ahead:
		return in.put(p)
	}
	return nil
}

// put sends octets.
func (in *inbound) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	in.out.begin()
	defer in.out.end()
	in.out.inside = in.midway()
	return in.out.write(p)
}

// settle says that something that was sent as it came is over.
func (in *inbound) settle() {
	in.out.begin()
	in.out.inside = in.midway()
	in.out.closing = in.out.closing || in.closed
	in.out.end()
}

// bound lets a message that is held go on if it is too long.
func (in *inbound) bound(a *assembly) error {
	if a.fate != held || a == &in.ctl {
		return nil
	}
	all := int64(len(a.raw) + len(a.kept))
	limit := in.c.o.Assemble
	switch {
	case a.size > limit || int64(len(a.raw)) > limit+maxOverhead:
		in.note(noteTooLong)
		return in.spill()
	case all > a.taken:
		more := max(all-a.taken, budgetStep)
		if !in.c.o.Budget.Take(more) {
			in.note(noteBudget)
			return in.spill()
		}
		a.taken += more
	}
	return nil
}

const (
	maxOverhead = 64 << 10 // of headers in a message that is held
	budgetStep  = 16 << 10
)

// free ends an assembly that was held.
func (in *inbound) free(a *assembly) {
	in.giveBack(a)
	a.free()
}

func (in *inbound) giveBack(a *assembly) {
	in.c.o.Budget.Give(a.taken)
	a.taken = 0
}

// spill lets go of the data message that is held: what has come is sent, and the
// rest will be as it comes. If the receiver could not read it like that, it is
// compressed anew.
func (in *inbound) spill() error {
	a := &in.msg
	raw := in.aside.among(a.raw)
	in.out.begin()
	defer in.out.end()
	if a.packed && in.out.stale > 0 {
		a.fate, a.z = transcoded, newPacker(in.out.window())
		a.z.write(a.kept)
		raw = in.aside.bytes
	} else {
		a.fate = through
	}
	err := in.out.write(raw)
	in.out.inside = in.out.inside || in.midway()
	in.aside.clear()
	in.giveBack(a)
	a.raw = nil
	a.kept = a.kept[:min(len(a.kept), in.c.o.Keep)]
	return err
}

// maxTranscoded is how much is compressed before it is sent.
const maxTranscoded = 32 << 10

// transcode compresses more of the message under way.
func (in *inbound) transcode(p []byte) error {
	z := in.msg.z
	for len(p) > 0 {
		n := min(len(p), maxTranscoded)
		z.write(p[:n])
		p = p[n:]
		if z.out.Len() >= maxTranscoded {
			if err := in.sendTranscoded(false); err != nil {
				return err
			}
		}
	}
	return nil
}

// garbage passes on what follows damaged data in a message that was being
// compressed anew, so that the receiver finds it damaged too.
func (in *inbound) garbage(pc piece) error {
	h, a := &in.sp.h, in.cur
	a.size += int64(len(pc.bytes))
	a.z.out.Write(appendMasked(nil, pc.bytes, h.mask, pc.at))
	return nil
}

// sendTranscoded sends what has been compressed, as a frame.
func (in *inbound) sendTranscoded(end bool) error {
	a := &in.msg
	h := header{fin: end}
	if !a.begun {
		h.op, h.rsv, a.begun = a.op, bitRSV1, true
	}
	in.out.begin()
	defer in.out.end()
	if end {
		in.out.read(a.size)
	}
	in.out.inside = !end
	return in.out.send(h, a.z.flush(end && !a.broken))
}

// An aside is control frames that came while a message was held: where they
// stood, and what is to be sent for them.
type aside struct {
	bytes []byte
	marks []mark
}

type mark struct{ at, end int } // in the message's octets, in aside.bytes

func (s *aside) add(at int, p []byte) {
	s.bytes = append(s.bytes, p...)
	s.marks = append(s.marks, mark{at, len(s.bytes)})
}

// among returns raw with the control frames where they stood.
func (s *aside) among(raw []byte) []byte {
	if len(s.marks) == 0 {
		return raw
	}
	var out []byte
	from, done := 0, 0
	for _, m := range s.marks {
		out = append(append(out, raw[from:m.at]...), s.bytes[done:m.end]...)
		from, done = m.at, m.end
	}
	return append(out, raw[from:]...)
}

func (s *aside) clear() { s.bytes, s.marks = s.bytes[:0], s.marks[:0] }

// putAside sends control frames ahead of the message they came in, before more
// of it is waited for: a ping wants its answer.
func (in *inbound) putAside() error {
	err := in.put(in.aside.bytes)
	in.aside.clear()
	return err
}
