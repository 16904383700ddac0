// Package bus tells observers what happened. It never makes traffic wait: an
// observer that falls behind loses news, is told how much, and reads the store
// again. The bus says that something changed; the store holds what.
package bus

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"transom/flow"
)

// A Bus carries snapshots of flows to any number of subscribers. The zero Bus
// is ready, and a nil *Bus takes all news and tells nobody.
type Bus struct {
	subs atomic.Pointer[[]*Subscription] // replaced whole; nil if empty

	mu     sync.Mutex // held to replace subs
	closed bool
}

// Publish hands f to all subscribers. It never blocks. f must not change any
// more.
func (b *Bus) Publish(f *flow.Flow) {
	if b == nil {
		return
	}
	subs := b.subs.Load()
	if subs == nil {
		return
	}
	for _, s := range *subs {
		s.offer(f)
	}
}

// Subscribe returns a subscription that holds at most depth flows, at least
// one; name is for whoever lists subscribers. The caller closes it.
func (b *Bus) Subscribe(name string, depth int) *Subscription {
	s := &Subscription{
		bus: b, name: name, depth: max(depth, 1),
		at: map[flow.ID]int{}, wake: make(chan struct{}, 1),
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		s.end()
		return s
	}
	b.replace(append(b.list(), s))
	return s
}

// Close says that no more news come. Subscribers still get what waits for them.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for _, s := range b.list() {
		s.end()
	}
	b.replace(nil)
}

// list returns a copy of the subscribers.
func (b *Bus) list() []*Subscription {
	if subs := b.subs.Load(); subs != nil {
		return slices.Clone(*subs)
	}
	return nil
}

func (b *Bus) replace(subs []*Subscription) {
	if len(subs) == 0 {
		b.subs.Store(nil)
		return
	}
	b.subs.Store(&subs)
}

// A Subscription holds the news that one observer has not seen. Snapshots of
// one flow replace each other while they wait; the latest takes its place at
// the end. When it is full, news of further flows are counted and dropped.
type Subscription struct {
	bus   *Bus
	name  string
	depth int
	wake  chan struct{} // capacity 1: there is something to see

	mu     sync.Mutex
	queue  []*flow.Flow    // nil where a later snapshot has taken over
	at     map[flow.ID]int // where each flow is in queue
	spare  []*flow.Flow    // what Next returned last, to be used again
	missed int
	closed bool
}

// Name returns the name given to Subscribe.
func (s *Subscription) Name() string { return s.name }

// offer takes f in, if there is room.
func (s *Subscription) offer(f *flow.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	i, waits := s.at[f.ID]
	switch {
	case waits && s.queue[i].Rev > f.Rev:
		return
	case waits:
		s.queue[i] = nil
	case len(s.at) >= s.depth:
		s.missed++
		s.notify()
		return
	}
	if len(s.queue) >= 2*s.depth {
		s.compact()
	}
	s.at[f.ID] = len(s.queue)
	s.queue = append(s.queue, f)
	s.notify()
}

// compact takes out what was replaced.
func (s *Subscription) compact() {
	s.queue = slices.DeleteFunc(s.queue, func(f *flow.Flow) bool { return f == nil })
	for i, f := range s.queue {
		s.at[f.ID] = i
	}
}

// notify wakes Next.
func (s *Subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // it has been woken already
	}
}

// Next waits for news and returns all there is, the longest settled first, with
// the number of snapshots that were dropped before. The slice is valid until
// the next call. It returns io.EOF once the bus or the subscription is closed
// and all has been seen, and context.Cause(ctx) when ctx is done. One goroutine
// may wait at a time.
func (s *Subscription) Next(ctx context.Context) (news []*flow.Flow, missed int, err error) {
	for {
		news, missed, closed := s.take()
		if len(news) > 0 || missed > 0 {
			return news, missed, nil
		}
		if closed {
			return nil, 0, io.EOF
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		}
	}
}

// take empties the subscription.
func (s *Subscription) take() (news []*flow.Flow, missed int, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) < len(s.queue) {
		s.compact()
	}
	news, missed = s.queue, s.missed
	if len(news) > 0 {
		clear(s.spare)
		s.queue, s.spare = s.spare[:0], news
		for _, f := range news { // clear costs what the map once held
			delete(s.at, f.ID)
		}
	}
	s.missed = 0
	return news, missed, s.closed
}

// end says that no more news come.
func (s *Subscription) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.notify()
}

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.end()
	b := s.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	b.replace(slices.DeleteFunc(b.list(), func(o *Subscription) bool { return o == s }))
}
