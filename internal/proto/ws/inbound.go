package ws

import (
	"context"
	"unicode/utf8"

	"transom/message"
)

// An inbound is where one direction's octets come in. It belongs to who calls
// Pass.
type inbound struct {
	deflation
	c   *Conversation
	dir message.Direction
	out *outbound

	sp      splitter
	handles bool // messages are given to the handlers
	ahead   bool // what is being looked at has been sent already
	raw     bool // nothing is looked at any more
	closed  bool // a close frame has come
	blind   bool // compressed messages can't be read any more
	noted   uint32

	msg     assembly  // of the data message under way
	open    bool      // there is one
	ctl     assembly  // of the control frame under way
	cur     *assembly // whose frame is under way
	z       inflater
	aside   aside
	scratch [1 << 10]byte
}

func (in *inbound) init(c *Conversation, dir message.Direction) {
	in.c, in.dir, in.out = c, dir, &c.out[dir]
	in.deflation = in.out.deflation
	in.handles = c.o.Handlers != nil && c.unknown == ""
	in.cur = &in.msg
	in.z.emit, in.z.window = in.take, in.window()
}

func (in *inbound) pass(ctx context.Context, p []byte) error {
	switch {
	case in.raw:
		return in.passRaw(p)
	case in.handles:
		return in.handle(ctx, p)
	}
	return in.watch(ctx, p)
}

// look takes a piece in.
func (in *inbound) look(ctx context.Context, pc piece) error {
	switch {
	case pc.bytes == nil:
		return nil // a part of a header
	case pc.header:
		if err := in.header(&in.sp.h); err != nil {
			return err
		}
		if err := in.emit(pc.bytes); err != nil {
			return err
		}
		if err := in.bound(in.cur); err != nil { // headers count, too
			return err
		}
	default:
		if err := in.emit(pc.bytes); err != nil {
			return err
		}
		if err := in.payload(pc); err != nil {
			return err
		}
	}
	if pc.last {
		return in.frameEnd(ctx)
	}
	return nil
}

// header begins a frame.
func (in *inbound) header(h *header) error {
	in.check(h)
	if h.op >= opClose {
		in.cur = &in.ctl
		f := through
		if in.handles && h.fin && h.length <= maxControl && h.rsv == 0 && !reserved(h.op) {
			f = held
		}
		in.ctl.begin(h.op, f)
		if f == through && !in.ahead {
			return in.putAside() // control frames keep their order
		}
		return nil
	}
	in.cur = &in.msg
	switch {
	case in.open && h.op == opContinuation:
		if h.rsv != 0 {
			in.note(noteRSV)
			return in.stepAside()
		}
		return nil
	case in.open:
		in.note(noteNested)
		if err := in.stepAside(); err != nil {
			return err
		}
		in.endMessage()
	case h.op == opContinuation:
		in.note(noteContinuation)
		if err := in.stepAside(); err != nil {
			return err
		}
	}
	in.first(h)
	return nil
}

// first begins a message.
func (in *inbound) first(h *header) {
	in.open = true
	packed := in.on && h.rsv == bitRSV1 && (h.op == opText || h.op == opBinary)
	if h.rsv != 0 && !packed && in.c.unknown == "" {
		in.note(noteRSV)
	}
	opaque := h.rsv != 0 && (!packed || in.blind)
	f := through
	if in.handles && !opaque && (h.op == opText || h.op == opBinary) {
		f = held
	}
	in.msg.begin(h.op, f)
	in.msg.packed, in.msg.opaque = packed && !in.blind, opaque
	if in.msg.packed && !in.takeover {
		in.z.forget()
	}
}

// stepAside has the handlers see no more of this direction: the structure of its
// messages is not what it should be, and the receiver will say so.
func (in *inbound) stepAside() error {
	if !in.handles {
		return nil
	}
	if in.open && in.msg.fate == transcoded {
		return in.sendTranscoded(false) // what comes can't be sent as it is
	}
	in.handles = false
	if in.open && in.msg.fate == held {
		return in.spill()
	}
	return nil
}

// payload looks at payload, which has been sent or is held.
func (in *inbound) payload(pc piece) error {
	h, a := &in.sp.h, in.cur
	p := pc.bytes
	whole := pc.last && a.wire == 0 && h.fin && h.op != opContinuation
	a.wire += int64(len(p))
	switch {
	case a.packed:
		return in.unpack(pc)
	case a.broken:
		return in.garbage(pc)
	case whole && in.ahead && !h.masked:
		a.view, a.size = p, int64(len(p))
		return nil
	}
	a.keep(p, h.mask, pc.at, in.room(a))
	return in.bound(a)
}

// room is how much of a message is kept.
func (in *inbound) room(a *assembly) int {
	if a.fate == held {
		return int(in.c.o.Assemble)
	}
	return in.c.o.Keep
}

// frameEnd ends a frame.
func (in *inbound) frameEnd(ctx context.Context) error {
	a := in.cur
	if a == &in.ctl {
		return in.endControl(ctx)
	}
	if !in.sp.h.fin {
		if a.fate == transcoded {
			return in.sendTranscoded(false)
		}
		return nil
	}
	if a.packed && a.wire > 0 {
		if err := in.z.end(); err != nil {
			if err := in.unreadable(err); err != nil {
				return err
			}
		}
	}
	if a.op == opText && !a.opaque && a.size == int64(len(a.payload())) && !utf8.Valid(a.payload()) {
		in.note(noteText)
	}
	switch a.fate {
	case held:
		in.open = false
		defer in.free(a)
		return in.deliver(ctx, a)
	case transcoded:
		if err := in.sendTranscoded(true); err != nil {
			return err
		}
	}
	in.endMessage()
	if !in.ahead {
		in.settle()
	}
	return nil
}

// endMessage records the message that was sent as it came.
func (in *inbound) endMessage() {
	in.open = false
	in.c.o.Record.Message(in.msg.entry(in.dir, in.c.o.Keep))
	in.msg.free()
}

// endControl ends a control frame.
func (in *inbound) endControl(ctx context.Context) error {
	a := &in.ctl
	defer in.free(a)
	if a.op == opClose {
		in.closed = true
	}
	if a.fate == held {
		return in.deliver(ctx, a)
	}
	in.c.o.Record.Message(a.entry(in.dir, in.c.o.Keep))
	if in.ahead {
		in.out.closing = in.out.closing || in.closed
	} else {
		in.settle()
	}
	return nil
}

// finish sends what is held and records what is not whole.
func (in *inbound) finish() error {
	defer in.z.release()
	if in.raw {
		return nil
	}
	cut := !in.sp.between() || in.open
	err := in.release()
	if cut {
		in.note(noteUnfinished)
	}
	if in.open {
		in.endMessage()
	}
	if in.sp.inside && in.cur == &in.ctl {
		in.c.o.Record.Message(in.ctl.entry(in.dir, in.c.o.Keep))
		in.free(&in.ctl)
	}
	return err
}
