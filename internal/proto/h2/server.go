// Package h2 speaks HTTP/2 (RFC 9113) without losing how it was said: the order
// and the HPACK form of fields, settings, the first window, priority, reset
// codes and what else an endpoint is known by go from one side to the other
// while nobody has changed them. It is strict where two recipients could read
// two things.
//
// A Server reads the requests of a client and has a handler perform them, each
// in a goroutine; a Client performs requests on a connection to a server. Given
// each other, they also carry what belongs to a connection and not to a request:
// SETTINGS, PING, PRIORITY, GOAWAY. Neither knows policy, storage or addresses.
package h2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/flow"
)

// Options say how a Server works. The zero Options are good.
type Options struct {
	Limits      Limits
	Info        *flow.Conn       // what requests say they came by
	Budget      *exchange.Budget // for bodies held in memory
	Memory      *Memory          // for what is on its way; nil is no bound but each connection's
	IdleTimeout time.Duration    // with nothing moving; 0 is none

	// Upstream, if set, is the connection that the handler sends requests on.
	// What is said about the connection as a whole goes on to it, and comes
	// from it; without it the server speaks for itself.
	Upstream *Client

	// Upgrade, if set, is how HTTP/1.1 ended on the connection.
	Upgrade *Upgrade

	// Opened, if set, is told how the client began, before its first request is
	// handled. What it returns, if not nil, is what requests then say they came
	// by.
	Opened func(*Opening) *flow.Conn
	// Refused, if set, is told of each request that was answered with a reset
	// because it is malformed, or with a status, which is 0 otherwise: what of
	// its head could be read, and why.
	Refused func(head *flow.RequestHead, status int, err error)
}

// A Server serves one client connection.
type Server struct {
	conn
	h exchange.Handler
	o Options

	opening  Opening
	opened   bool
	finished bool // the client has ended its side
	unread   bool // Linger is needed
	settings bool // the client's have come
	order    exchange.Queue
	handlers sync.WaitGroup
	ctx      context.Context // of all exchanges

	// Guarded by the connection's lock.
	last     uint32             // highest stream that the client has opened
	max      int                // streams that may be open at once
	running  int                // handlers, those of reset streams too
	live     map[*exch]struct{} // those that have been started
	begun    bool               // our settings have been sent
	granted  bool               // and its first WINDOW_UPDATE
	away     bool               // GOAWAY was sent, for
	awayLast uint32             // streams above this
	leaves   []*leave
	ending   error // Serve ends with it when nothing runs any more
	poked    error // Serve ends with it now
}

// NewServer returns a server for c, of which prefix has been read already. The
// caller closes c, after Serve.
func NewServer(c net.Conn, prefix []byte, h exchange.Handler, o Options) *Server {
	s := &Server{h: h, o: o, max: maxStreams, live: map[*exch]struct{}{}}
	s.init(c, prefix, o.IdleTimeout, o.Limits, s)
	s.server = true
	s.memory = o.Memory
	s.out.held = true
	return s
}

// preface is what a client begins with (RFC 9113, section 3.4).
const preface = http2.ClientPreface

// Serve reads requests until the connection is to end, and returns nil if that
// is how it should be: the client has ended it with nothing under way, or Drain
// was called. Any other error says how it broke: a *ClientError, a *ConnError
// that the client has been told of, or a *GoneError. When it returns no handler
// runs any more. It never closes the connection, and is called once.
func (s *Server) Serve(outer context.Context) error {
	ctx, cancel := context.WithCancelCause(outer)
	defer cancel(nil)
	s.ctx = ctx
	defer context.AfterFunc(outer, func() { s.poke(context.Cause(outer)) })()
	if up := s.o.Upstream; up != nil {
		up.join(s)
		defer up.join(nil)
	} else {
		s.begin(ownServerSettings())
	}
	err := s.run()
	if outer.Err() != nil {
		err = context.Cause(outer)
	}
	s.die(err)
	cancel(err) // of handlers, too, whose streams are over
	s.mu.Lock()
	s.cancelLocked(err)
	s.mu.Unlock()
	var client *ClientError
	listens := outer.Err() == nil && !errors.As(err, &client)
	if !listens {
		s.out.abort(err) // handlers may wait for a client that does not read
	}
	s.handlers.Wait()
	if listens {
		_ = s.out.flushAll() // what is said before the end; the end is what counts
	}
	s.out.fail(err)
	s.out.wait()
	_ = s.nc.SetWriteDeadline(time.Time{}) // abort's is over
	s.in.release()
	var gone *GoneError
	reset := errors.As(err, &gone) && !errors.Is(err, io.EOF) // the client is to see that, and nothing else
	s.unread = listens && !s.finished && !reset
	if err == errDrained {
		return nil
	}
	return err
}

// lingerMax and lingerTime bound Linger.
const (
	lingerMax  = 64 << 20
	lingerTime = 5 * time.Second
)

// Linger is for between Serve and closing the connection. Where it is we who end
// it, it ends our side and reads on for a while: to close with something unread
// would reset the connection, and the reset would destroy our last frames on
// their way.
func (s *Server) Linger(ctx context.Context) {
	if !s.unread || closeWrite(s.nc) != nil {
		return
	}
	_ = s.nc.SetReadDeadline(time.Now().Add(lingerTime)) // the read below fails if the conn is gone
	defer context.AfterFunc(ctx, func() { _ = s.nc.SetReadDeadline(past) })()
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	for n := 0; n < lingerMax; {
		m, err := s.nc.Read(lent[:])
		if err != nil {
			if !isTimeout(err) {
				s.in.err = err
			}
			return
		}
		n += m
	}
}

// run reads until the connection ends, and says goodbye if that is our doing.
func (s *Server) run() error {
	var err error
	if s.o.Upgrade != nil {
		err = s.upgraded(s.o.Upgrade)
	}
	if err == nil {
		err = s.readPreface()
	}
	if err == nil {
		err = s.readLoop()
	}
	s.mu.Lock()
	// Streams and not handlers: one may be about to end.
	poked, last, quiet, away := s.poked, s.last, len(s.streams) == 0, s.away
	s.mu.Unlock()
	var bad *ConnError
	switch {
	case poked != nil:
		return poked
	case errors.As(err, &bad):
		s.out.unhold(nil)
		s.goAway(last, bad.Code, "")
		return bad
	case isTimeout(err) && !away:
		s.goAway(last, NoError, "")
		return ofClient(err)
	case s.leftInOrder(err) && quiet:
		s.finished = true
		return errDrained
	case s.leftInOrder(err):
		s.letGo()
	}
	return ofClient(err)
}

// Finished reports, after Serve has returned nil, whether the client had ended
// the connection.
func (s *Server) Finished() bool { return s.finished }

func (s *Server) readPreface() error {
	var b [len(preface)]byte
	n, err := io.ReadFull(&s.in, b[:])
	if string(b[:n]) != preface[:n] {
		return violation(ProtocolError, "not the preface of HTTP/2")
	}
	return err
}

// begin sends our settings, the first frame of our side.
func (s *Server) begin(list []Setting) {
	s.mu.Lock()
	s.announceLocked(list)
	s.begun = true
	s.mu.Unlock()
	s.out.unhold(appendSettings(nil, list))
	s.kick()
}

// announceLocked prepares for the client to follow list.
func (s *Server) announceLocked(list []Setting) {
	s.conn.announceLocked(list)
	for _, p := range list {
		if p.ID == settingMaxStreams {
			s.max = int(min(p.Value, maxStreams))
		}
	}
}

// Drain asks the client to begin nothing more, lets what is under way finish,
// and has Serve return then. It may be called by any goroutine.
func (s *Server) Drain() {
	s.mu.Lock()
	if !s.away {
		s.away, s.awayLast = true, s.last
		s.appendLocked(func(b []byte) []byte { return appendGoAway(b, s.last, NoError, "") })
	}
	s.finishLocked(errDrained)
	s.mu.Unlock()
	s.kick()
}

// finishLocked has Serve return err when nothing is under way any more.
func (s *Server) finishLocked(err error) {
	if s.ending == nil {
		s.ending = err
	}
	if s.running == 0 && s.poked == nil {
		s.poked = s.ending
		s.in.stop()
	}
}

// poke has Serve return err now.
func (s *Server) poke(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.poked == nil {
		s.poked = err
		s.in.stop()
	}
	if s.err == nil {
		s.err = err
	}
	s.cancelLocked(err)
	s.eased.Broadcast()
}

// cancelLocked cancels what runs, streams that have left the table included.
func (s *Server) cancelLocked(err error) {
	for x := range s.live {
		x.cancelLocked(err)
	}
}

// fields implements side: a request, or its trailer section.
func (s *Server) fields(st *stream, h *fieldBlock) error {
	if st != nil {
		return s.trailerSection(st, h)
	}
	if wanted, err := s.admitRequest(h); !wanted {
		return err
	}
	if h.TooLarge {
		return s.refuseLarge(h)
	}
	x := &exch{s: s}
	length, err := h.request(&x.received)
	if err == nil && h.end && length > 0 {
		err = &MalformedError{"content-length", fmt.Sprintf("is %d, and there is no body", length)}
	}
	if err != nil {
		if s.o.Refused != nil {
			s.o.Refused(&x.received, 0, err)
		}
		s.mu.Lock()
		s.ranLocked()
		s.mu.Unlock()
		return &badStream{h.id, &StreamError{Code: ProtocolError, What: err.Error()}}
	}
	if !s.opened {
		s.tellOpened(&x.received)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x.openLocked(&s.conn, h.id)
	x.declared = length
	if h.end {
		x.in = io.EOF
	}
	x.prepare(length, h.end)
	x.startLocked()
	return nil
}

// ranLocked notes that a request is over.
func (s *Server) ranLocked() {
	s.running--
	if s.ending != nil {
		s.finishLocked(s.ending)
	}
}

// admitRequest takes a new stream's number, and reports whether the request is
// to be looked at. It counts as running from then on: what the client is told of
// last is not to be forgotten meanwhile.
func (s *Server) admitRequest(h *fieldBlock) (wanted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case h.id%2 == 0:
		return false, violation(ProtocolError, "HEADERS frame for stream %d, which is no client's", h.id)
	case h.id <= s.last && s.resetLatelyLocked(h.id):
		return false, s.calm.cost(costFrame, "HEADERS for a stream that was reset")
	case h.id <= s.last:
		return false, violation(StreamClosed, "HEADERS frame for stream %d, which is closed", h.id)
	}
	s.last = h.id
	switch {
	case s.away && h.id > s.awayLast:
		return false, nil // it has been told that nobody will look
	case len(s.streams) >= s.max:
		return false, &badStream{h.id, &StreamError{Code: RefusedStream, What: "more streams than SETTINGS_MAX_CONCURRENT_STREAMS"}}
	case s.running >= 2*s.max+16:
		return false, violation(EnhanceYourCalm, "streams are reset faster than they can end")
	}
	s.running++
	return true, nil
}

// tellOpened tells how the client began, now that its first request is known.
func (s *Server) tellOpened(r *flow.RequestHead) {
	s.opened = true
	s.opening.Pseudo = pseudoOrder(r.H2.Pseudo)
	if s.o.Opened != nil {
		if info := s.o.Opened(&s.opening); info != nil {
			s.o.Info = info
		}
	}
}

func pseudoOrder(pseudo flow.Header) string {
	b := make([]byte, 0, 5)
	for _, f := range pseudo {
		if len(f.Name) > 1 {
			b = append(b, f.Name[1])
		}
	}
	return string(b)
}

func (s *Server) trailerSection(st *stream, h *fieldBlock) error {
	t, err := h.trailer()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case st.in == io.EOF:
		return &badStream{h.id, &StreamError{Code: StreamClosed, What: "HEADERS frame after the stream's end"}}
	case st.in != nil:
		return nil
	case !h.end:
		err = &MalformedError{"trailer section", "does not end the stream"}
	}
	if err != nil {
		return &badStream{h.id, &StreamError{Code: ProtocolError, What: err.Error()}}
	}
	st.trailer = t
	return st.receivedAllLocked()
}

// promise implements side: clients push nothing.
func (s *Server) promise(*fieldBlock) error {
	return violation(ProtocolError, "PUSH_PROMISE frame from a client")
}

// idleLocked implements side.
func (s *Server) idleLocked(id uint32) bool { return id%2 == 0 || id > s.last }
