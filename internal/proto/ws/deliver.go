package ws

import (
	"context"
	"hash/maphash"
	"sync/atomic"

	"transom/flow"
	"transom/message"
)

// A passing message is with the handlers. It is the context they are given, so
// that what they send is known to be that message.
type passing struct {
	context.Context
	in   *inbound
	a    *assembly
	sum  uint64
	done atomic.Bool // the handlers have returned

	// Guarded by the turn.
	sent   int  // messages
	asCame bool // the message itself was sent
}

type passingKey struct{}

// Value implements context.Context.
func (p *passing) Value(key any) any {
	if key == (passingKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// deliver gives a whole message to the handlers.
func (in *inbound) deliver(ctx context.Context, a *assembly) error {
	if a.op == opClose && in.open && in.msg.fate == held {
		if err := in.spill(); err != nil { // it will not become whole any more
			return err
		}
	}
	p := &passing{Context: ctx, in: in, a: a, sum: maphash.Bytes(in.c.seed, a.kept)}
	m := message.Message{Dir: in.dir, Op: a.op, Payload: a.kept}
	err := in.c.handler.Message(p, in.c.o.Info, &m)
	p.done.Store(true)
	in.out.begin()
	defer in.out.end()
	if p.sent == 0 && err == nil {
		e := a.entry(in.dir, in.c.o.Keep)
		e.Dropped = true
		in.c.o.Record.Message(e)
	}
	if a.packed && in.takeover && !p.asCame {
		in.out.stale = in.out.window()
	}
	if !in.open { // a control frame that stood in what was replaced
		if werr := in.out.write(in.aside.bytes); err == nil {
			err = werr
		}
		in.aside.clear()
	}
	return err
}

// send is the last of the handlers: it sends what the others have made of a
// message, or have made up.
func (c *Conversation) send(ctx context.Context, _ *flow.Conn, m *message.Message) error {
	if err := valid(m); err != nil {
		return err
	}
	p, _ := ctx.Value(passingKey{}).(*passing)
	if p == nil || p.done.Load() || p.in.dir != m.Dir || p.a.op >= opClose && m.Op < opClose {
		return c.out[m.Dir&1].add(m)
	}
	return p.send(m)
}

// send sends what was made of p.
func (p *passing) send(m *message.Message) error {
	in, a, o := p.in, p.a, p.in.out
	same := m.Op == a.op && len(m.Payload) == len(a.kept) && maphash.Bytes(in.c.seed, m.Payload) == p.sum
	o.begin()
	defer o.end()
	same = same && !p.asCame
	p.asCame = p.asCame || same
	p.sent++
	var err error
	switch {
	case a == &in.ctl && in.open && in.msg.fate == held:
		frame := a.raw
		if !same {
			frame = o.appendFrame(nil, header{fin: true, op: m.Op}, m.Payload)
		}
		in.aside.add(len(in.msg.raw), frame)
	case same && a == &in.msg:
		raw := in.aside.among(a.raw)
		if a.packed && o.stale > 0 {
			err = o.write(in.aside.bytes)
		}
		if err == nil {
			err = o.unchanged(raw, a)
		}
		in.aside.clear()
	case same:
		err = o.unchanged(a.raw, a)
	default:
		err = o.fresh(m, m.Op < opClose && (o.packs() || a.packed && p.sent == 1))
	}
	if err == nil {
		o.record(&message.Entry{Op: m.Op, Changed: !same, Payload: m.Payload})
	}
	return err
}
