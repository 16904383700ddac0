package bus

import (
	"context"
	"io"
	"slices"
	"sync"

	"transom/flow"
)

// A Subscription holds the news that one observer has not seen. Snapshots of
// one flow replace each other while they wait; the latest takes its place at
// the end. When it is full, it notes whose news it drops, and when that is too
// much, how many.
type Subscription struct {
	bus     *Bus
	name    string
	depth   int
	follows bool
	wake    chan struct{} // capacity 1: there is something to see

	mu     sync.Mutex
	queue  []notice         // zero where a later one has taken over
	at     map[flow.ID]int  // where each flow is in queue
	held   int              // snapshots in queue
	missed map[flow.ID]bool // flows whose news were dropped: whether also their end
	lost   int              // snapshots dropped whose flows are not in missed
	closed bool

	// Of the goroutine that calls Next.
	taken []notice
	flows []*flow.Flow
}

// A notice is a snapshot, or a flow that one can be had from.
type notice struct {
	id      flow.ID
	flow    *flow.Flow
	growing Growing
}

// News is what Next returns. It is valid until the next call.
type News struct {
	Flows  []*flow.Flow // the longest settled first
	Missed []Missed     // flows of which snapshots were dropped and nothing later came
	Lost   int          // snapshots that were dropped besides
}

// A Missed flow is one to be looked up in the store.
type Missed struct {
	ID    flow.ID
	Ended bool // its end was dropped; otherwise there is an end to come
}

// missedPerDepth is how many flows are noted as missed, for each that is held:
// a name takes little beside a flow.
const missedPerDepth = 4

func newSubscription(b *Bus, name string, depth int) *Subscription {
	return &Subscription{
		bus: b, name: name, depth: max(depth, 1), wake: make(chan struct{}, 1),
		at: map[flow.ID]int{}, missed: map[flow.ID]bool{},
	}
}

// Name returns the name given to Subscribe or Follow.
func (s *Subscription) Name() string { return s.name }

// offer takes f in, if there is room.
func (s *Subscription) offer(f *flow.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	i, waits := s.at[f.ID]
	if waits {
		old := s.queue[i].flow
		if old != nil && old.Rev > f.Rev {
			return
		}
		s.queue[i] = notice{}
		if old != nil {
			s.held--
		}
	}
	if s.held >= s.depth {
		delete(s.at, f.ID)
		s.missLocked(f)
	} else {
		s.putLocked(notice{id: f.ID, flow: f})
	}
	s.notify()
}

// grew takes in that there is more to be seen of a flow.
func (s *Subscription) grew(id flow.ID, g Growing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	i, waits := s.at[id]
	switch {
	case !waits:
		s.putLocked(notice{id: id, growing: g})
	case s.queue[i].flow == nil || s.queue[i].flow.State != flow.Open:
		return // it waits already, or has ended meanwhile
	default:
		s.queue[i] = notice{id: id, growing: g}
		s.held--
	}
	s.notify()
}

// putLocked puts n at the end. What stood in its place before is gone already.
func (s *Subscription) putLocked(n notice) {
	if len(s.queue) >= 2*max(len(s.at), 8) {
		s.compactLocked()
	}
	s.at[n.id] = len(s.queue)
	s.queue = append(s.queue, n)
	if n.flow != nil {
		s.held++
	}
	if len(s.missed) > 0 {
		delete(s.missed, n.id)
	}
}

// missLocked notes that f was dropped.
func (s *Subscription) missLocked(f *flow.Flow) {
	ended, known := s.missed[f.ID]
	if !known && len(s.missed) >= missedPerDepth*s.depth {
		s.lost++
		return
	}
	s.missed[f.ID] = ended || f.State != flow.Open
}

// compactLocked takes out what was replaced.
func (s *Subscription) compactLocked() {
	s.queue = slices.DeleteFunc(s.queue, func(n notice) bool { return n == (notice{}) })
	for i := range s.queue {
		s.at[s.queue[i].id] = i
	}
}

// notify wakes Next.
func (s *Subscription) notify() {
	select {
	case s.wake <- struct{}{}:
	default: // it has been woken already
	}
}

// Next waits for news and returns all there is. It returns io.EOF once the bus
// or the subscription is closed and all has been seen, and context.Cause(ctx)
// when ctx is done. One goroutine may call it at a time.
func (s *Subscription) Next(ctx context.Context) (News, error) {
	for {
		news, closed := s.take()
		clear(s.flows)
		s.flows = s.flows[:0]
		for i := range s.taken {
			if f := s.taken[i].snapshot(); f != nil {
				s.flows = append(s.flows, f)
			}
		}
		news.Flows = s.flows
		if len(news.Flows) > 0 || len(news.Missed) > 0 || news.Lost > 0 {
			return news, nil
		}
		if closed {
			return News{}, io.EOF
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return News{}, context.Cause(ctx)
		}
	}
}

// snapshot returns the flow as it is, or nil if its end is still to come.
func (n *notice) snapshot() *flow.Flow {
	if n.growing != nil {
		return n.growing.Snapshot()
	}
	return n.flow
}

// take empties the subscription.
func (s *Subscription) take() (news News, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.at) < len(s.queue) {
		s.compactLocked()
	}
	clear(s.taken)
	s.queue, s.taken = s.taken[:0], s.queue
	for i := range s.taken { // clear costs what the map once held
		delete(s.at, s.taken[i].id)
	}
	s.held = 0
	news.Lost, s.lost = s.lost, 0
	for id, ended := range s.missed {
		news.Missed = append(news.Missed, Missed{id, ended})
	}
	if len(news.Missed) > 0 {
		clear(s.missed)
	}
	return news, s.closed
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
