package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A rootServer is a helper that is root, at work: one goroutine does everything. It
// owns what is in force, and knows no process and no descriptor, so that each way to
// die is a test.
type rootServer struct {
	charter Charter
	steerer rootSteerer // nil if there is nothing to steer
	say     func(report) error
	log     *slog.Logger

	now      state // what the proxy has asked for
	dirty    bool  // there is something to take back
	pulse    pulse
	applies  ration
	refusals ration
	tended   string    // what was said last of what can't be put back
	looked   time.Time // when it was tended
}

// rootEvents are what a rootServer hears.
type rootEvents struct {
	requests <-chan request  // closed when the proxy is gone
	watch    <-chan struct{} // closed when the watch is
	told     <-chan string   // how it is known that somebody wants an end
}

func newRootServer(c Charter, s rootSteerer, say func(report) error, log *slog.Logger) *rootServer {
	return &rootServer{
		charter: c, steerer: s, say: say, log: log,
		pulse:    pulse{every: pingEvery, patience: rootPatience},
		applies:  ration{most: 20, while: 10 * time.Second},
		refusals: ration{most: 20, while: 10 * time.Second},
		looked:   time.Now(),
	}
}

// run answers until the proxy or the watch is gone, and takes back what is then in
// force. Nobody has said that it is over, so Steering.Closed holds.
func (s *rootServer) run(ctx context.Context, e rootEvents) error {
	if err := s.say(report{kind: sayHello}); err != nil {
		return s.end(fmt.Errorf("greet the proxy: %w", err))
	}
	tick := time.NewTicker(pingEvery / 2)
	defer tick.Stop()
	for {
		select {
		case r, ok := <-e.requests:
			if !ok {
				return s.end(nil)
			}
			s.take(ctx, r)
		case <-e.watch:
			err := s.end(nil)
			s.send(report{kind: sayLost, text: []byte("its watch has ended")})
			return err
		case how := <-e.told:
			s.send(report{kind: sayEnd, text: []byte(how)})
		case <-tick.C:
			if !s.takeAll(ctx, e.requests) {
				return s.end(nil)
			}
			s.tick(ctx)
		case <-ctx.Done():
			return s.end(context.Cause(ctx))
		}
	}
}

// takeAll answers what has come while something else was done, so that a proxy that has
// answered is not taken for one that hangs. It reports false at the end of requests.
func (s *rootServer) takeAll(ctx context.Context, requests <-chan request) bool {
	for {
		select {
		case r, ok := <-requests:
			if !ok {
				return false
			}
			s.take(ctx, r)
		default:
			return true
		}
	}
}

// send says what nobody need hear: a proxy that doesn't read is gone, and then its
// requests end.
func (s *rootServer) send(r report) { _ = s.say(r) }

// take answers a request.
func (s *rootServer) take(ctx context.Context, r request) {
	switch r.kind {
	case sayPong:
		if s.pulse.pong(r.id) {
			s.log.Warn("the proxy answers again: connections are captured as before")
			s.again(ctx, s.now)
		}
	case askApply:
		s.answer(r.id, s.apply(ctx, r.state))
	default:
		err := fmt.Errorf("%w: this helper steers, and does nothing else", ErrRefused)
		if ok, dropped := s.refusals.take(time.Now()); ok {
			s.log.Warn("the proxy asked for what it may not have", "err", err, "unsaid", dropped)
		}
		s.answer(r.id, err)
	}
}

func (s *rootServer) answer(id uint64, err error) {
	r := report{kind: sayAnswer, id: id}
	if err != nil {
		r.errno, r.refused, r.text = 1, errors.Is(err, ErrRefused), []byte(err.Error())
	}
	s.send(r)
}

// apply makes the host match a state that the proxy asks for.
func (s *rootServer) apply(ctx context.Context, to state) error {
	if s.steerer == nil || s.charter.Steering.IsZero() {
		return fmt.Errorf("%w: steer: it was started for nothing to steer", ErrRefused)
	}
	if ok, _ := s.applies.take(time.Now()); !ok && to != off {
		return fmt.Errorf("%w: steer more than %d times in %s", ErrRefused, s.applies.most, s.applies.while)
	}
	if err := s.put(ctx, to); err != nil {
		return err
	}
	s.now, s.dirty = to, to != off
	return nil
}

// put makes the host match a state.
func (s *rootServer) put(ctx context.Context, to state) error {
	ctx, cancel := context.WithTimeout(ctx, rootApplyWithin)
	defer cancel()
	if to != off {
		s.dirty = true // whatever becomes of it
	}
	return s.steerer.Apply(ctx, s.charter.inState(to))
}

// again puts a state that was not asked for just now.
func (s *rootServer) again(ctx context.Context, to state) {
	if s.now == off {
		return
	}
	if err := s.put(ctx, to); err != nil {
		s.log.Warn("can't change what is captured", "to", to, "err", err)
	}
}

// tick looks whether the proxy answers, and whether what is in force is there.
func (s *rootServer) tick(ctx context.Context) {
	now := time.Now()
	ping, hung := s.pulse.tick(now)
	switch {
	case hung:
		s.log.Warn("the proxy does not answer: new connections go past it until it does, or are refused if none may", "for", s.pulse.patience)
		s.again(ctx, refusing)
	case ping && !s.pulse.hung: // the last ping waits in the line of one that hangs
		s.send(report{kind: sayPing, id: s.pulse.id})
	}
	if s.now != off && now.Sub(s.looked) >= rootTendEvery {
		s.looked = now
		s.tend(ctx)
	}
}

// tend says a thing once.
func (s *rootServer) tend(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, rootApplyWithin)
	defer cancel()
	back, err := s.steerer.Tend(ctx)
	if back != "" {
		s.log.Warn(back)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == s.tended:
	case err != nil:
		s.log.Warn("connections are not captured at the moment, it seems", "err", err)
	default:
		s.log.Info("what captures connections is there again")
	}
	s.tended = text
}

// end takes back what is in force.
func (s *rootServer) end(why error) error {
	if !s.dirty {
		return why
	}
	ctx, cancel := context.WithTimeout(context.Background(), rootApplyWithin)
	defer cancel()
	err := s.steerer.Leave(ctx)
	if err == nil {
		s.now, s.dirty = off, false
	}
	return errors.Join(why, err)
}
