package show

import (
	"context"
	"time"
)

// patience is how long a view may work on one body. What takes longer says of
// itself that it was given up.
const patience = 10 * time.Second

// A stint is the work of a view. Its time does not pass while it waits for whoever
// reads what it printed, as a pager does.
type stint struct {
	end   context.CancelCauseFunc
	timer *time.Timer
	left  time.Duration
	since time.Time
}

// patient returns the context that a view works in. The caller ends the stint.
func patient(ctx context.Context) (context.Context, *stint) {
	ctx, end := context.WithCancelCause(ctx)
	s := &stint{end: end, left: patience, since: time.Now()}
	s.timer = time.AfterFunc(patience, func() { end(context.DeadlineExceeded) })
	return ctx, s
}

func (s *stint) pause() {
	s.timer.Stop()
	s.left -= time.Since(s.since)
}

func (s *stint) resume() {
	s.since = time.Now()
	s.timer.Reset(s.left)
}

func (s *stint) over() {
	s.timer.Stop()
	s.end(nil)
}
