package engine

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"transom/egress"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/message"
	"transom/policy"
)

const portDNS = 53

// errUDPToUs ends a conversation with ourselves: nobody is there for datagrams.
var errUDPToUs = &endError{reason: "the datagrams were meant for transom itself, which has no use for them", ours: true}

// datagrams reads a UDP conversation to its end. What it carries is told by its
// port: the first datagram says too little.
func (s *session) datagrams(ctx context.Context) error {
	v := s.p.Policy.Decide(s.info)
	if v.Action < policy.Pass {
		layer := flow.Layer{}
		if s.info.Dst.Port() == portDNS && v.Action == policy.Inspect {
			layer.Proto = "dns"
		}
		s.learned(s.info.With(layer))
		if w := s.p.Policy.Decide(s.info); w.Action > v.Action {
			v = w
		}
		s.debugLayer(layer)
	}
	s.end.Action = v.Action.String()
	if v.Action == policy.Block {
		return s.swallow(ctx, v)
	}
	s.end.Reason = v.Reason
	server, err := s.dialUDP(ctx)
	if err != nil {
		return serverError(err)
	}
	defer func() {
		for _, p := range s.locals {
			s.e.Guard.closed(p)
		}
	}()
	return s.exchangeDatagrams(ctx, v, server)
}

func (s *session) dialUDP(ctx context.Context) (net.Conn, error) {
	c, err := s.Dial(ctx, egress.Target{Network: "udp", Addr: s.info.Dst, Client: s.info.Client})
	if err != nil {
		return nil, err
	}
	s.learned(s.info.WithServer(&flow.Leg{
		From: leg.AddrPort(c.LocalAddr()), To: leg.AddrPort(c.RemoteAddr()), Dialed: time.Now(),
	}))
	return c, nil
}

// exchangeDatagrams relays, and records as v says.
func (s *session) exchangeDatagrams(ctx context.Context, v policy.Verdict, server net.Conn) error {
	d := s.relayUDP(server)
	var raw *record.Messages
	switch {
	case v.Action == policy.Pass:
	case s.info.Last().Proto == "dns" && v.Action == policy.Inspect:
		q := &questions{s: s}
		d.Pass = q.pass(d)
		defer s.drainBy(func() {
			if q.open() == 0 {
				d.Hurry(1)
				return
			}
			d.Hurry(s.e.Timeouts.UDPDrain)
		})()
		return s.relayedUDP(ctx, d.Run(ctx), q.raw())
	default:
		raw = s.rec.Messages(s.info, s.p.Messages)
		d.Pass = s.recordUDP(ctx, d, raw)
		defer s.e.conversed(raw.ID())
	}
	defer s.drainBy(func() { d.Hurry(s.e.Timeouts.UDPDrain) })()
	return s.relayedUDP(ctx, d.Run(ctx), func() *record.Messages { return raw })
}

func (s *session) relayUDP(server net.Conn) *relay.Datagrams {
	return &relay.Datagrams{Client: s.c, Server: server, Once: s.e.Timeouts.UDP, Stream: s.e.Timeouts.UDPStream}
}

// recordUDP returns what passes each datagram on and records it.
func (s *session) recordUDP(ctx context.Context, d *relay.Datagrams, m *record.Messages) func(message.Direction, []byte) error {
	send := message.HandlerFunc(func(_ context.Context, _ *flow.Conn, msg *message.Message) error {
		return d.Send(msg.Dir, msg.Payload)
	})
	h := m.Middleware()(send)
	s.e.converses(m.ID(), &bytesConversation{m: m, to: send, info: s.info})
	if s.p.Messages == nil { // which spares a message to hand around
		return func(dir message.Direction, p []byte) error {
			m.Message(message.Entry{Dir: dir, Size: int64(len(p)), Payload: p})
			return d.Send(dir, p)
		}
	}
	return func(dir message.Direction, p []byte) error {
		return h.Message(ctx, s.info, &message.Message{Dir: dir, Payload: p})
	}
}

// relayedUDP ends the records of a conversation. A client that has closed its port is
// as good an end as silence; a server that has none is a failure, of which our
// client is told if somebody may send ICMP; else it waits.
func (s *session) relayedUDP(ctx context.Context, r relay.DatagramResult, raw func() *record.Messages) error {
	s.end.Bytes = r.Bytes
	s.end.Client, s.end.Server = r.Client, r.Server
	if c, ok := s.c.(interface{ Refuse() }); ok && r.Server == flow.Refused {
		c.Refuse()
	}
	m := raw()
	if m != nil {
		s.noteLost(m, r.Lost)
	}
	err := cause(ctx)
	if err == nil && r.Server != flow.NotClosed {
		e := &endError{reason: udpWords(r.Server, r.Err), server: r.Server, err: r.Err}
		err = e
		if m != nil {
			m.Fail(e.reason)
		}
	}
	if m != nil && err != nil {
		m.Fail(err.Error())
	} else if m != nil {
		m.End(flow.NotClosed, flow.NotClosed)
	}
	return err
}

// noteLost says what could not be passed on.
func (s *session) noteLost(m *record.Messages, unsent int64) {
	if l, ok := s.c.(interface{ Lost() int64 }); ok && l.Lost() > 0 {
		m.Note(fmt.Sprintf("%d datagrams of the client's found no room and were dropped", l.Lost()))
	}
	if unsent > 0 {
		m.Note(fmt.Sprintf("%d datagrams could not be sent: too long, or dropped by this host", unsent))
	}
}

func udpWords(how flow.Close, err error) string {
	if how == flow.Refused {
		return "server refused: nobody is at that port"
	}
	if w := leg.Words("server", how); w != "" {
		return w
	}
	return fmt.Sprintf("sending to the server failed: %v", err)
}

// swallow takes what is blocked until it stops coming: if the conversation ended at
// once, the next datagram would begin another.
func (s *session) swallow(ctx context.Context, v policy.Verdict) error {
	d := s.relayUDP(&nowhere{closed: make(chan struct{})})
	defer s.drainBy(func() { d.Hurry(1) })()
	r := d.Run(ctx)
	s.end.Client = r.Client
	return &endError{reason: "blocked: " + v.Reason, ours: true}
}

// nowhere is a peer that takes everything and says nothing.
type nowhere struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (n *nowhere) Read([]byte) (int, error) {
	<-n.closed
	return 0, net.ErrClosed
}

func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (n *nowhere) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}
