// Package ws relays WebSocket (RFC 6455) with permessage-deflate (RFC 7692):
// what nobody changes leaves as it came, octet for octet, while whole messages
// are shown to a recorder. It reads and writes streams it is given; it does no
// handshake, answers no ping, and has no opinion about what peers do wrong.
//
// Without a handler octets are forwarded before they are looked at:
//
//	src ─▶ Pass ─▶ dst
//	         └──▶ splitter ─▶ inflater ─▶ Recorder
//
// With one, frames are held until their message is whole and has been handled:
//
//	src ─▶ Pass ─▶ splitter ─▶ inflater ─▶ handler ─┬ the same ─▶ what was held ─▶ dst
//	                                                └ another ──▶ a new frame ──▶ dst
//
// Each direction has an inbound, which belongs to who calls Pass, and an
// outbound, to which others may write as well, in turns.
package ws

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"

	"transom/exchange"
	"transom/flow"
	"transom/message"
)

// Options say how a conversation is relayed. The zero Options relay and show it
// to nobody.
type Options struct {
	// Response is the header of the server's answer to the handshake; what it
	// says of extensions holds.
	Response flow.Header
	// Record is told what passed.
	Record Recorder
	// Handlers, if set, stand between the two sides.
	Handlers message.Middleware
	// Info is what handlers are told of the connection.
	Info *flow.Conn
	// Assemble is how long a message may be, in octets as it came and as it is
	// handled, for the handlers to see it. A longer one passes by them.
	// 0 is 16 MiB.
	Assemble int64
	// Keep is how much of a message the recorder is shown. 0 is 1 MiB.
	Keep int
	// Budget is shared by all that is assembled; nil is no bound.
	Budget *exchange.Budget
}

// A Recorder is told what passed, in the order in which it did: with Dir, Op,
// Size and, as far as it was kept, Payload, which is valid until Message
// returns. Octets of a stream that could not be taken apart have Op 0. Its
// methods are called by several goroutines and must not block.
type Recorder interface {
	Message(e message.Entry)
	// Note tells of an oddity.
	Note(text string)
}

// A Conversation is one WebSocket between a client and a server.
type Conversation struct {
	o       Options
	handler message.Handler // nil without handlers
	seed    maphash.Seed
	unknown string // an extension that is not understood
	in      [2]inbound
	out     [2]outbound
}

// New returns a conversation whose sides are written to through client and
// server.
func New(client, server io.Writer, o Options) *Conversation {
	if o.Assemble <= 0 {
		o.Assemble = 16 << 20
	}
	if o.Keep <= 0 {
		o.Keep = 1 << 20
	}
	if o.Record == nil {
		o.Record = nobody{}
	}
	c := &Conversation{o: o, seed: maphash.MakeSeed()}
	toServer, toClient, unknown := agreed(o.Response)
	c.unknown = unknown
	c.out[message.ToServer].init(c, message.ToServer, server, toServer)
	c.out[message.ToClient].init(c, message.ToClient, client, toClient)
	for dir := range c.in {
		c.in[dir].init(c, message.Direction(dir))
	}
	switch {
	case unknown != "":
		o.Record.Note(fmt.Sprintf("the extension %q is not understood: what it does to messages is neither undone nor changed", unknown))
	case o.Handlers != nil:
		c.handler = o.Handlers(message.HandlerFunc(c.send))
	}
	return c
}

// Pass takes what came for one direction and sends what is to be sent of it. One
// goroutine at a time may call it for a direction. Its error is a handler's or
// of writing; the conversation is over then.
func (c *Conversation) Pass(ctx context.Context, dir message.Direction, p []byte) error {
	return c.in[dir&1].pass(ctx, p)
}

// Finish says that nothing more comes for a direction, and sends what was held
// back.
func (c *Conversation) Finish(dir message.Direction) error {
	err := c.in[dir&1].finish()
	c.out[dir&1].finish()
	return err
}

// Inject sends m as a message of its own, between two others, as soon as that
// can be. It passes no handler. It returns when m has been written, or can't be.
// Payload is used until then. Its errors are those of package message, or of
// writing.
func (c *Conversation) Inject(ctx context.Context, m message.Message) error {
	if err := valid(&m); err != nil {
		return err
	}
	if c.unknown != "" {
		return fmt.Errorf("%w: it uses the extension %q", message.ErrOpaque, c.unknown)
	}
	return c.out[m.Dir&1].inject(ctx, &m)
}

// valid reports why m can't be sent.
func valid(m *message.Message) error {
	switch m.Op {
	case opText, opBinary:
	case opClose, opPing, opPong:
		if len(m.Payload) > maxControl {
			return fmt.Errorf("%w: %d octets in a control frame, the most is %d (RFC 6455, section 5.5)", message.ErrInvalid, len(m.Payload), maxControl)
		}
	default:
		return fmt.Errorf("%w: opcode %#x", message.ErrInvalid, m.Op)
	}
	return nil
}

type nobody struct{}

func (nobody) Message(message.Entry) {}
func (nobody) Note(string)           {}
