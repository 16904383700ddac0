package testnet

import (
	"context"
	"net"
	"sync"
)

// A queue hands values from those who put to those who get, in order.
type queue[T any] struct {
	mu     sync.Mutex
	cond   *sync.Cond
	items  []T
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := new(queue[T])
	q.cond = sync.NewCond(&q.mu)
	return q
}

// put adds v and reports whether the queue is still open.
func (q *queue[T]) put(v T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, v)
	q.cond.Signal()
	return true
}

// get waits for a value. After close it returns net.ErrClosed, and when ctx is
// done context.Cause(ctx).
func (q *queue[T]) get(ctx context.Context) (v T, err error) {
	stop := context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.cond.Broadcast()
	})
	defer stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed:
			return v, net.ErrClosed
		case ctx.Err() != nil:
			q.cond.Signal() // it may have been meant for another
			return v, context.Cause(ctx)
		case len(q.items) > 0:
			v, q.items = q.items[0], q.items[1:]
			return v, nil
		}
		q.cond.Wait()
	}
}

// rest takes what nobody has taken, no more than most.
func (q *queue[T]) rest(most int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(most, len(q.items))
	rest := q.items[:n:n]
	q.items = q.items[n:]
	return rest
}

// close ends the queue and returns what nobody took; nil when it was closed
// before.
func (q *queue[T]) close() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	left := q.items
	q.items, q.closed = nil, true
	q.cond.Broadcast()
	return left
}
