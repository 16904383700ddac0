package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"transom/flow"
	"transom/internal/proto/sniff"
)

// sniffMax bounds what is read of a client before its protocol is decided. TLS
// hellos may be longer; package sniff bounds those.
const sniffMax = 16 << 10

// lastLook is how long is waited, once we are to stop, for what a silent client has
// sent and we have not read: a read with a deadline that has gone by finds nothing.
const lastLook = time.Millisecond

// past is a deadline that has gone by: it ends a read under way.
var past = time.Unix(1, 0)

// peek reads what the client says until its protocol is known, or until waiting
// longer would not tell. What was read is in s.prefix, nothing is consumed. An
// unknown protocol is the zero Layer, not an error:
//
//  1. While both sides are silent it waits for either, up to the idle timeout.
//  2. A server that speaks first, or ends, has settled it: unknown.
//  3. Once the client has begun, what is ambiguous is settled by Sniff without
//     a further byte; what is certainly TLS may take Handshake in all.
func (s *session) peek(ctx context.Context) (flow.Layer, error) {
	var spoke atomic.Bool
	stop := s.up.Watch(func() {
		spoke.Store(true)
		_ = s.c.SetReadDeadline(past) // a conn that was closed ends the read too
	})
	layer, err := s.sniff(&spoke)
	found := stop()
	_ = s.c.SetReadDeadline(time.Time{}) // likewise
	if ctx.Err() != nil {
		return layer, context.Cause(ctx)
	}
	if found {
		if err := s.up.Ready(ctx); err != nil {
			return layer, serverError(err)
		}
		if err := s.up.EarlyReset(); err != nil {
			return layer, serverError(err)
		}
		return flow.Layer{}, nil
	}
	return layer, err
}

// sniff is peek without the server; spoke ends it.
func (s *session) sniff(spoke *atomic.Bool) (flow.Layer, error) {
	if s.prefix == nil {
		s.prefix = make([]byte, 0, 2048)
	}
	c := s.c
	poke := func() { _ = c.SetReadDeadline(past) } // a conn that was closed ends the wait too
	s.poke.Store(&poke)
	defer s.poke.Store(nil)
	lastLooks := 2      // once we are to stop; the poke may end the first before it has looked
	began := time.Now() // when we began to wait; then, when the client began to speak
	for {
		r := sniff.Stream(s.prefix)
		var wait time.Time
		switch {
		case len(s.prefix) == 0:
			wait = after(began, s.e.Timeouts.Idle)
		case r.Err != nil:
			s.end.Reason = "not decrypted: malformed " + r.Err.Error()
			return flow.Layer{}, nil
		case r.Answer == sniff.No:
			return flow.Layer{}, nil
		case r.Answer == sniff.Yes && r.Complete:
			s.hello = r.Hello
			return r.Layer, nil
		case r.Answer == sniff.Yes:
			wait = after(began, s.e.Timeouts.Handshake)
		case len(s.prefix) >= sniffMax:
			return flow.Layer{}, nil
		default:
			wait = after(time.Now(), s.e.Timeouts.Sniff)
			if end := after(began, s.e.Timeouts.Head); !end.IsZero() && (wait.IsZero() || end.Before(wait)) {
				wait = end // it is not to live on single bytes
			}
		}
		_ = s.c.SetReadDeadline(wait) // the read below fails if the conn is gone
		if spoke.Load() {
			return r.Layer, nil
		}
		silent := len(s.prefix) == 0
		last := silent && s.drains.Load()
		if last && lastLooks == 0 {
			return r.Layer, errSilent
		}
		if last {
			lastLooks--
			_ = s.c.SetReadDeadline(time.Now().Add(lastLook)) // likewise
		}
		if err := s.more(); err != nil {
			if silent && s.drains.Load() && isTimeout(err) && !spoke.Load() {
				continue
			}
			if silent && !ended(err) {
				if refused := s.certificateRefused(err); refused != nil {
					return r.Layer, refused
				}
			}
			if spoke.Load() || ended(err) {
				return flow.Layer{}, nil // the relay carries the FIN on
			}
			if isTimeout(err) && len(s.prefix) > 0 {
				return flow.Layer{}, nil
			}
			return r.Layer, clientError(err)
		}
		if silent {
			began = time.Now()
		}
	}
}

// errSilent ends a connection that carries nothing while we stop: in order, and
// not as a failure.
var errSilent = &endError{reason: "transom stopped while the connection was silent", how: flow.FIN, client: flow.ClosedByUs, ours: true}

// ended reports whether err is a stream's end, whole or cut.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// more reads once from the client into the prefix.
func (s *session) more() error {
	if len(s.prefix) == cap(s.prefix) {
		s.prefix = append(s.prefix, 0)[:len(s.prefix)]
	}
	n, err := s.c.Read(s.prefix[len(s.prefix):cap(s.prefix)])
	s.prefix = s.prefix[:len(s.prefix)+n]
	if n > 0 {
		return nil
	}
	return err
}

// after returns the time d after t, or no time if d is 0: a timeout that is
// switched off.
func after(t time.Time, d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return t.Add(d)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
