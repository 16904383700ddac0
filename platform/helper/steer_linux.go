package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// apply brings the host into a state that the proxy asked for.
func (s *server) apply(ctx context.Context, to state) error {
	switch {
	case s.steerer == nil && to == off:
		return nil
	case s.steerer == nil:
		return fmt.Errorf("%w: steer connections: it was started for none", ErrRefused)
	case to == on && s.unwatched:
		return fmt.Errorf("steer connections: %w: the watch has ended", ErrLost)
	}
	if ok, _ := s.applies.take(time.Now()); !ok {
		return fmt.Errorf("steer connections: %w: %d times within %v are enough", unix.EBUSY, s.applies.most, s.applies.while)
	}
	if err := s.steer(ctx, to); err != nil {
		return err
	}
	s.want = to
	if s.voice.epoch == 1 {
		s.awaitTranslations(ctx)
	}
	return nil
}

// steer applies a state.
func (s *server) steer(ctx context.Context, to state) error {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	s.dirty = s.dirty || to != off
	err := s.steerer.Apply(ctx, steeringOf(&s.charter, to))
	if to == off && err == nil && s.voice.epoch > 1 {
		// Of what a helper before this one has put in force, this one's steerer
		// knows nothing if it has itself put nothing there.
		_, err = s.steerer.Cleanup(ctx)
	}
	if to == off && err == nil {
		s.dirty = false
	}
	return err
}

// bypass lets new connections go past a proxy that can't take them, or has them
// refused if none may.
func (s *server) bypass(ctx context.Context) error {
	if s.want != on || s.unwatched {
		return nil
	}
	return s.steer(ctx, unserved(&s.charter))
}

// unserved is the state in which nobody takes new connections.
func unserved(c *Charter) state {
	if c.Steering.Closed {
		return refusing
	}
	return draining
}

// steeringOf is the charter's steering in a state.
func steeringOf(c *Charter, to state) platform.Steering {
	if to == off {
		return platform.Steering{}
	}
	want := c.Steering
	want.Draining, want.Refusing = to != on, to == refusing
	return want
}

// tick looks after the proxy's pulse.
func (s *server) tick(ctx context.Context) {
	ping, hung := s.pulse.tick(time.Now())
	if ping {
		s.send(report{kind: sayPing, id: s.pulse.id}, -1)
	}
	if !hung {
		return
	}
	what := "new connections are not captured until it does"
	if s.charter.Steering.Closed {
		what = "new connections are refused until it does"
	}
	s.log.Warn("transom does not answer: "+what, "for", s.pulse.patience)
	if err := s.bypass(ctx); err != nil {
		s.log.Error("transom does not answer, and new connections go on to be brought to it", "err", err)
	}
}

// pong hears that the proxy lives. If it had hung, what it had asked for comes into
// force again.
func (s *server) pong(ctx context.Context, id uint64) {
	if !s.pulse.pong(id) || s.want != on || s.unwatched {
		return
	}
	if err := s.steer(ctx, on); err != nil {
		s.send(report{kind: sayLost, text: []byte("capture again what went past transom while it did not answer: " + err.Error())}, -1)
		return
	}
	s.log.Info("transom answers again: new connections are captured")
}

// unwatch ends the capturing because the watch is gone: if this helper died too,
// nobody would take back what is there. What is open lives on until the proxy has
// drained, which it is told to.
func (s *server) unwatch(ctx context.Context) {
	why := errors.New("the watch of the helper has ended")
	if err := s.bypass(ctx); err != nil {
		why = fmt.Errorf("%w; stop the capturing: %w", why, err)
	}
	s.unwatched = true
	_ = s.voice.lost(why) // a proxy that is gone need not know
}

// end takes back what is in force. The proxy is gone.
func (s *server) end(ctx context.Context) error {
	defer s.voice.pair.f.Close()
	s.voice.alone.Store(true)
	errs := []error{s.host.Close()}
	if s.steerer != nil {
		if s.dirty {
			errs = append(errs, leave(ctx, s.log, s.steerer, &s.charter))
		}
		errs = append(errs, s.steerer.Abandon())
	}
	return errors.Join(errs...)
}

// leave has s take back what is in force for a proxy that has not said that it is
// over, and tells what becomes of new connections: nobody else is left to tell it.
func leave(ctx context.Context, log *slog.Logger, s Steerer, c *Charter) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), applyWithin)
	defer cancel()
	if err := s.Leave(ctx); err != nil {
		return fmt.Errorf("take back what was put into the kernel: %w", err)
	}
	var left []string
	if c.Steering.Closed {
		var err error
		if left, err = s.Leftovers(ctx); err != nil {
			return fmt.Errorf("look whether connections are refused from now on: %w", err)
		}
	}
	if len(left) == 0 {
		log.Info("transom has ended: what it had put into the kernel is taken back, and nothing is captured any more")
		return nil
	}
	log.Warn("transom has ended, and as it was to let nothing past, what it would capture is refused until it is started again or 'transom cleanup' is run", "by", strings.Join(left, ", "))
	return nil
}
