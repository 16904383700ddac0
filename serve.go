package transom

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"transom/capture"
)

// errStopping is the cause that ends connections when the grace period is over.
var errStopping = errors.New("transom is stopping")

// serve accepts from all sources until ctx is done or one breaks, and sees the
// connections to their end:
//
//  1. stop capturing, so that new connections go direct
//  2. accept what is there already, and stop accepting
//  3. let each exchange finish, and end what is idle
//  4. after the grace period, or End, end what is left
//  5. wait for it
func (p *Proxy) serve(ctx context.Context, sources []capture.Source) error {
	accepting, stopAccepting := context.WithCancelCause(ctx)
	defer stopAccepting(nil)
	serving, stopServing := context.WithCancelCause(context.WithoutCancel(ctx))

	var accepters, conns, tending sync.WaitGroup
	defer tending.Wait()
	defer stopServing(nil) // before that
	tending.Go(func() { p.engine.Tend(serving) })
	for _, s := range sources {
		accepters.Go(func() {
			if err := p.accept(accepting, serving, s, &conns); err != nil {
				stopAccepting(err)
			}
		})
	}
	<-accepting.Done()
	drained := p.drain(sources)
	accepters.Wait()
	for _, s := range sources {
		for _, c := range s.Rest(restMost) {
			conns.Go(func() { p.engine.Serve(serving, c) })
		}
	}
	closeAll(sources)

	p.engine.Drain()
	p.wait(&conns, func() {
		if n := p.engine.Open(); n > 0 {
			p.Log.Warn("open connections are cut, with a reset", "connections", n)
		}
		stopServing(errStopping)
	})
	if err := context.Cause(accepting); ctx.Err() == nil {
		return errors.Join(err, drained)
	}
	return drained
}

// restMost is how many connections that wait when accepting ends are served still: as
// many as a listener has room for.
const restMost = 4096

// accept serves what s brings. Its error is the source's.
func (p *Proxy) accept(accepting, serving context.Context, s capture.Source, conns *sync.WaitGroup) error {
	for {
		c, err := s.Accept(accepting)
		switch {
		case err == nil:
			conns.Go(func() { p.engine.Serve(serving, c) })
		case accepting.Err() != nil || errors.Is(err, net.ErrClosed):
			return nil
		default:
			return fmt.Errorf("accept on %s: %w", s.Addr(), err)
		}
	}
}

// wait waits for conns, and calls stop when the grace period ends before them.
func (p *Proxy) wait(conns *sync.WaitGroup, stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		conns.Wait()
	}()
	defer func() { <-done }()
	var over <-chan time.Time
	if grace := p.timeout(p.Timeouts.Grace, 10*time.Second); grace > 0 {
		t := time.NewTimer(grace)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-done:
	case <-over:
		stop()
	case <-p.ended:
		stop()
	}
}
