// Package h1 speaks HTTP/1.0 and HTTP/1.1 without losing a byte of how it was
// said: heads keep their bytes, bodies keep their framing, and both go on as
// they came while nobody has changed them. It is strict where leniency would let
// two recipients read two things (RFC 9112, section 11).
//
// A Server reads the requests of a client and has a handler perform them; a
// Client performs requests on a connection to a server. Neither knows policy,
// storage or addresses.
package h1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"transom/exchange"
	"transom/flow"
)

// Options say how a Server works. The zero Options are good.
type Options struct {
	Limits Limits
	Scheme string           // of the requests: "http" or "https"
	Info   *flow.Conn       // what requests say they came by
	Budget *exchange.Budget // for bodies held in memory

	HeadTimeout time.Duration // for a head, from its first byte; 0 is none
	IdleTimeout time.Duration // with nothing coming from the client; 0 is none

	// QuietAfter is how long a client must be silent, between exchanges or
	// during one, before something is spent on watching; 0 is 100 ms.
	QuietAfter time.Duration
	// Quiet, if set, is called when the client has been silent that long
	// between exchanges. The stop it returns is called, and waited for, before
	// anything else happens.
	Quiet func() (stop func())
	// AwaitReset, if set, notices that the client is gone during an exchange
	// where reading does not: behind a request that waits for its turn, and
	// after the client's FIN. It returns why, or nil when the connection's read
	// deadline has ended it.
	AwaitReset func() error
	// HalfClosed, if set, is told how the client has ended its side while the
	// response to its last request is awaited, as by End. The response goes on.
	HalfClosed func(how error)

	// Decide, if set, is asked about each request before the handler. If it
	// declines, Serve returns ErrHandOver.
	Decide func(*flow.RequestHead) bool
	// Refused, if set, is told of each request that was answered here because
	// it is malformed: what was read of its head, the status, and why.
	Refused func(raw []byte, status int, err error)
}

// A Server serves one client connection.
type Server struct {
	conn net.Conn
	in   *input
	out  *output
	h    exchange.Handler
	o    Options
	last bool // an exchange was served; the next may be refused while draining

	unread bool // Linger is needed

	watch watch

	mu       sync.Mutex
	idle     bool // between exchanges, waiting for the client
	draining bool
	poked    error // why the wait is to end
}

// NewServer returns a server for c, of which prefix has been read already. The
// caller closes c, after Serve.
func NewServer(c net.Conn, prefix []byte, h exchange.Handler, o Options) *Server {
	if o.QuietAfter == 0 {
		o.QuietAfter = 100 * time.Millisecond
	}
	s := &Server{conn: c, in: newInput(c, prefix), out: &output{conn: c, idle: o.IdleTimeout}, h: h, o: o}
	s.in.idle = o.IdleTimeout
	return s
}

// Serve reads requests until the connection is to end, and returns nil if that
// is how it should be: the client has closed it between exchanges, a message
// said that it is the last, or Drain was called. Any other error says how it
// broke: the handler's, the client's, or a *MalformedError that was answered
// and told to Refused. Serve never closes the connection.
func (s *Server) Serve(outer context.Context) error {
	// The context is not cancelled on return: the connections on both sides
	// may be somebody else's from then on. The caller ends its own.
	ctx, cancel := context.WithCancelCause(outer)
	defer context.AfterFunc(ctx, s.in.stop)()
	s.watch.init(s.in, &s.o, cancel)
	defer s.in.release()
	for {
		raw, err := s.readHead()
		if outer.Err() != nil {
			return context.Cause(outer)
		}
		if err != nil {
			return s.ended(err)
		}
		x := &exch{s: s}
		f, err := parseRequest(raw, s.o.Limits, &x.received)
		if err != nil {
			return s.refuse(raw, err)
		}
		x.received.Scheme = s.o.Scheme
		if s.o.Decide != nil && !s.o.Decide(&x.received) {
			s.in.disarm()
			s.out.disarm()
			return ErrHandOver
		}
		s.in.use(len(raw))
		again, err := x.perform(ctx, f)
		if err != nil && outer.Err() != nil {
			return context.Cause(outer)
		}
		if err != nil || !again {
			return err
		}
		s.last = true
	}
}

// ended makes an orderly end of what is one.
func (s *Server) ended(err error) error {
	if err == errDrained {
		return nil
	}
	if err == s.poked {
		return err // Interrupt's
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && leading(s.in.bytes()) == s.in.buffered() {
		return nil
	}
	var bad *MalformedError
	if errors.As(err, &bad) {
		return s.refuse(s.in.bytes(), err)
	}
	return &ClientError{err}
}

// End returns, after Serve, how the client has ended its side: io.EOF, or what
// wraps io.ErrUnexpectedEOF if its TLS was cut short. It is nil if the client
// has not.
func (s *Server) End() error {
	if isEnd(s.in.err) {
		return s.in.err
	}
	return nil
}

// Unread returns what was read of the client and not handled. It is for after
// Serve.
func (s *Server) Unread() []byte { return s.in.bytes() }

// refuse answers a malformed request and says so to Refused. raw is what was
// read of it. The connection can't be used any more: nobody knows where the next
// request begins.
func (s *Server) refuse(raw []byte, err error) error {
	status := 400
	var bad *MalformedError
	if errors.As(err, &bad) {
		status = bad.Status
	}
	if s.o.Refused != nil {
		s.o.Refused(append([]byte(nil), raw...), status, err)
	}
	return s.answer(status, err)
}

// answer sends our own response, the last on the connection, and returns why.
func (s *Server) answer(status int, err error) error {
	body := fmt.Sprintf("%d %s\n\ntransom: %v\n", status, reasons[status], err)
	head := appendResponse(nil, &flow.ResponseHead{
		Status: status, Reason: reasons[status], Proto: flow.HTTP11,
		Header: flow.Header{
			{Name: "Content-Type", Value: "text/plain; charset=utf-8"},
			{Name: "Content-Length", Value: itoa(len(body))},
			{Name: "Connection", Value: "close"},
		},
	})
	if werr := write(s.out, append(head, body...)); werr != nil {
		return errors.Join(err, werr)
	}
	s.unread = true
	return err
}

// lingerMax and lingerTime bound Linger.
const (
	lingerMax  = 64 << 20
	lingerTime = 5 * time.Second
)

// Linger is for between Serve and closing the connection. If more of the client
// may be on its way than anybody read, it ends our side and reads on for a
// while: to close with something unread would reset the connection, and the
// reset would destroy our last response on its way (RFC 9112, section 9.6).
func (s *Server) Linger(ctx context.Context) {
	if !s.unread || closeWrite(s.conn) != nil {
		return
	}
	defer context.AfterFunc(ctx, s.in.stop)()
	s.in.deadline(time.Now().Add(lingerTime))
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	for n := 0; n < lingerMax && s.in.err == nil; {
		m, err := s.conn.Read(lent[:])
		if err != nil {
			return
		}
		n += m
	}
}

var reasons = map[int]string{
	400: "Bad Request", 408: "Request Timeout", 414: "URI Too Long",
	431: "Request Header Fields Too Large", 505: "HTTP Version Not Supported",
}

// Drain asks the server to finish the exchange it is in and end then; at once
// if it is in none. It may be called by any goroutine.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	s.pokeLocked(errDrained)
}

// Interrupt ends Serve with err if it is between exchanges and nothing has come
// from the client; otherwise it does nothing. It may be called by any goroutine.
func (s *Server) Interrupt(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pokeLocked(err)
}

func (s *Server) pokeLocked(err error) {
	if s.idle && s.poked == nil {
		s.poked = err
		s.in.interrupt()
	}
}

// readHead waits for a request and returns its head, which stays buffered.
func (s *Server) readHead() ([]byte, error) {
	if s.in.buffered() == 0 {
		if err := s.awaitRequest(); err != nil {
			return nil, err
		}
	} else if s.last && s.stopping() {
		return nil, errDrained
	}
	bounded := false
	for scanned, end := 0, 0; ; {
		var err error
		if end, scanned, err = headEnd(s.in.bytes(), scanned); err != nil {
			return nil, err
		}
		if end > 0 {
			if bounded {
				s.in.disarm()
			}
			return s.in.bytes()[:end], nil
		}
		if s.in.buffered() > s.o.Limits.head() {
			return nil, tooLong(s.in.bytes(), s.o.Limits)
		}
		if !bounded {
			bounded = true
			s.boundHead()
		}
		if err := s.in.fill(); isTimeout(err) {
			return nil, malformedStatus(408, "head", "not complete within %v", s.o.HeadTimeout)
		} else if err != nil {
			return nil, unexpected(err)
		}
	}
}

func (s *Server) boundHead() {
	s.in.disarm()
	if s.o.HeadTimeout > 0 {
		s.in.deadline(time.Now().Add(s.o.HeadTimeout))
	}
}

func (s *Server) stopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// awaitRequest waits for the first byte of the next request: a while with the
// buffer in hand, then without it and with the server's side watched.
func (s *Server) awaitRequest() error {
	err := s.wait(s.o.QuietAfter, s.in.fill)
	if !isTimeout(err) {
		return unexpected(err)
	}
	s.in.release()
	stop := func() {}
	if err := s.setIdle(s.o.IdleTimeout); err != nil {
		return err
	}
	if s.o.Quiet != nil {
		stop = s.o.Quiet()
	}
	err = s.in.fillQuietly()
	stop()
	if poked := s.setBusy(); err != nil && poked != nil {
		return poked
	}
	return unexpected(err)
}

// wait reads once, for at most d; Drain and Interrupt end it.
func (s *Server) wait(d time.Duration, read func() error) error {
	if err := s.setIdle(d); err != nil {
		return err
	}
	err := read()
	if poked := s.setBusy(); err != nil && poked != nil {
		return poked
	}
	return err
}

// setIdle begins a wait between exchanges that ends after d; 0 is for ever.
func (s *Server) setIdle(d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return errDrained
	}
	var end time.Time
	if d > 0 {
		end = time.Now().Add(d)
	}
	s.in.deadline(end)
	s.in.armed = time.Time{}
	s.idle, s.poked = true, nil
	return nil
}

// setBusy ends the wait and returns what poked it. A deadline that did is taken
// off; others end with what is read next.
func (s *Server) setBusy() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = false
	if s.poked != nil {
		s.in.disarm()
	}
	return s.poked
}
