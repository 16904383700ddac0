package engine

import (
	"context"
	"io"
	"sync"

	"transom/flow"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/internal/proto/dns"
	"transom/message"
	"transom/policy"
)

// questions records the queries of one conversation and their answers, each as a
// flow. What is none is recorded as a message, in one flow for all of them.
type questions struct {
	s *session

	mu      sync.Mutex
	pending dns.Pending[*record.Query]
	rest    *record.Messages // nil until there is some
}

// saw records a message that passes. It reports whether it is one of DNS.
func (q *questions) saw(dir message.Direction, p []byte) bool {
	m, rest, err := dns.Parse(p)
	if err != nil || (m.Flags&flow.DNSResponse != 0) != (dir == message.ToClient) {
		q.messages().Message(message.Entry{Dir: dir, Size: int64(len(p)), Payload: p})
		return false
	}
	var of *record.Query
	if dir == message.ToServer {
		of = q.asked(m)
	} else {
		of = q.answered(m)
	}
	if rest != nil {
		of.Note(rest.Error())
	}
	if dir == message.ToClient {
		of.Answer(q.s.info, m)
	}
	return true
}

// asked takes a query.
func (q *questions) asked(m *flow.DNSMessage) *record.Query {
	q.mu.Lock()
	defer q.mu.Unlock()
	if of, again := q.pending.Asked(m); again {
		of.Note("asked again")
		return of
	}
	of := q.s.rec.Query(q.s.info, m)
	if oldest, full := q.pending.Add(m, of); full {
		oldest.Fail("no answer came before too many others were asked for")
	}
	return of
}

// answered finds what m answers.
func (q *questions) answered(m *flow.DNSMessage) *record.Query {
	q.mu.Lock()
	defer q.mu.Unlock()
	of, found := q.pending.Answered(m)
	if !found {
		of = q.s.rec.Query(q.s.info, nil)
		of.Note("no query waits for this answer")
	}
	return of
}

// open returns how many queries wait for answers.
func (q *questions) open() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pending.Len()
}

// messages is the flow of what is no DNS.
func (q *questions) messages() *record.Messages {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.rest == nil {
		q.rest = q.s.rec.Messages(q.s.info, nil)
	}
	return q.rest
}

// raw returns a function that returns that flow, if there is one.
func (q *questions) raw() func() *record.Messages {
	return func() *record.Messages {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.rest
	}
}

// pass returns what passes on and records datagrams. A query is recorded first, since
// its answer may be there before its sender is back.
func (q *questions) pass(d *relay.Datagrams) func(message.Direction, []byte) error {
	return func(dir message.Direction, p []byte) error {
		if dir == message.ToServer {
			q.saw(dir, p)
			return d.Send(dir, p)
		}
		err := d.Send(dir, p)
		q.saw(dir, p)
		return err
	}
}

// dnsStream relays DNS over TCP (RFC 7766), and records it as DNS over UDP. The bytes
// are passed on as they come; from the first message on that is none of DNS, they are
// recorded as they come too.
func (s *session) dnsStream(ctx context.Context) error {
	s.end.Action = policy.Inspect.String()
	client, server, err := s.sides(ctx)
	if err != nil {
		return err
	}
	info := *s.info
	info.Layers = append([]flow.Layer(nil), s.info.Layers...)
	info.Layers[len(info.Layers)-1].Proto = "dns" // which peek did not know
	s.learned(&info)
	q := &questions{s: s}
	r := s.e.relay().Through(ctx, client, server, func(client, server io.Writer) relay.Conversation {
		return &dnsBytes{q: q, to: [2]io.Writer{server, client}}
	})
	s.relayed(r)
	if m := q.raw()(); m != nil {
		s.conversationEnded(ctx, m, r)
	}
	return cause(ctx)
}

// dnsBytes is both directions of a connection; each has a goroutine of its own.
type dnsBytes struct {
	q      *questions
	to     [2]io.Writer // of the server, of the client
	stream [2]dns.Stream
	other  [2]bool // this direction is something else
}

// Pass implements relay.Conversation.
func (b *dnsBytes) Pass(_ context.Context, dir message.Direction, p []byte) error {
	if dir == message.ToServer {
		b.saw(dir, p)
		_, err := b.to[dir&1].Write(p)
		return err
	}
	_, err := b.to[dir&1].Write(p)
	b.saw(dir, p)
	return err
}

func (b *dnsBytes) saw(dir message.Direction, p []byte) {
	if b.other[dir&1] {
		b.q.messages().Message(message.Entry{Dir: dir, Size: int64(len(p)), Payload: p})
		return
	}
	b.stream[dir&1].Cut(p, func(m []byte) {
		if !b.q.saw(dir, m) {
			b.other[dir&1] = true
		}
	})
}

// Finish implements relay.Conversation: what is left of a message is recorded as it
// came.
func (b *dnsBytes) Finish(dir message.Direction) error {
	if p := b.stream[dir&1].Rest(); len(p) > 0 {
		b.q.messages().Message(message.Entry{Dir: dir, Size: int64(len(p)), Payload: p})
	}
	return nil
}
