package exchange

import (
	"context"
	"slices"
	"sync"
	"time"
)

// A Queue keeps what came on one connection in the order it came, although each
// request is performed by itself: HTTP/2's streams reach the server in the
// client's order, which its header compression and its priorities refer to. The
// zero Queue is empty.
//
// Order is a courtesy, no promise: a request waits for those before it only
// while they are on their way. Whoever holds one up, to read its body say,
// gives its turn away (Pass); reading the body does so by itself.
type Queue struct {
	mu    sync.Mutex
	ahead []*Turn     // that have not passed, in order; the first may be waited for
	held  int         // of these are Do's
	late  *time.Timer // ends their wait; set while there are any
}

// A Turn is one place in a Queue. A nil Turn has always come.
type Turn struct {
	q      *Queue
	do     func() // for a Turn of Do; runs when it has come
	passed bool
	come   chan struct{} // closed when everything before has passed; nil if nobody waits
}

const (
	// patience is how long a turn is waited for before order is given up.
	patience = 100 * time.Millisecond
	// maxHeld is how many of Do wait. They may hold much, and cost who sends
	// them little.
	maxHeld = 64
)

// Join takes the last place. Whoever joins passes, in the end.
func (q *Queue) Join() *Turn {
	t := new(Turn)
	q.JoinAs(t)
	return t
}

// JoinAs is Join for a Turn that is part of something larger. It must be zero.
func (q *Queue) JoinAs(t *Turn) {
	t.q = q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ahead = append(q.ahead, t)
}

// Do calls f when everything that joined before has passed, or has taken too
// long: now, or later by whoever passes. What is given to Do stays in order. f
// must not block and must not use the Queue.
func (q *Queue) Do(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held == maxHeld {
		q.overtakeLocked()
	} else if len(q.ahead) > 0 {
		q.ahead = append(q.ahead, &Turn{q: q, do: f})
		if q.held++; q.held == 1 {
			q.late = time.AfterFunc(patience, q.overtake)
		}
		return
	}
	f()
}

// overtake does what has waited for too long.
func (q *Queue) overtake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overtakeLocked()
}

func (q *Queue) overtakeLocked() {
	q.ahead = slices.DeleteFunc(q.ahead, func(t *Turn) bool {
		if t.do == nil {
			return false
		}
		t.doLocked()
		return true
	})
}

// doLocked does what a turn of Do is for.
func (t *Turn) doLocked() {
	t.do()
	if t.q.held--; t.q.held == 0 {
		t.q.late.Stop()
	}
}

// Wait waits until the turn has come, the predecessors have taken too long, or
// ctx is done; the caller finds out which by going on.
func (t *Turn) Wait(ctx context.Context) {
	if t == nil {
		return
	}
	t.q.mu.Lock()
	if t.passed || t.q.ahead[0] == t {
		t.q.mu.Unlock()
		return
	}
	if t.come == nil {
		t.come = make(chan struct{})
	}
	come := t.come
	t.q.mu.Unlock()
	over := time.NewTimer(patience)
	defer over.Stop()
	select {
	case <-come:
	case <-over.C:
	case <-ctx.Done():
	}
}

// Pass lets the next one come. It may be called by anybody, more than once.
func (t *Turn) Pass() {
	if t == nil {
		return
	}
	q := t.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.passed {
		return
	}
	t.passed = true
	n := 0
	for n < len(q.ahead) && q.ahead[n].advance() {
		n++
	}
	q.ahead = slices.Delete(q.ahead, 0, n) // in place, as the array would be used up otherwise
}

// advance tells the first in the queue that it is, and reports whether it has
// no need to be waited for.
func (t *Turn) advance() bool {
	switch {
	case t.do != nil:
		t.doLocked()
		return true
	case t.passed:
		return true
	case t.come != nil:
		close(t.come)
		t.come = nil
	}
	return false
}
