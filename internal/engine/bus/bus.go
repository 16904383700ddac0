// Package bus tells observers what happened. It never makes traffic wait: an
// observer that falls behind loses news, is told how much, and reads the store
// again. The bus says that something changed; the store holds what.
//
// Snapshots of one flow replace each other while they wait, so what waits is
// bounded by the number of flows, not by how much happens in them.
package bus

import (
	"slices"
	"sync"
	"sync/atomic"

	"transom/flow"
)

// A Bus carries snapshots of flows to any number of subscribers. The zero Bus
// is ready, and a nil *Bus takes all news and tells nobody.
type Bus struct {
	subs      atomic.Pointer[[]*Subscription] // replaced whole; nil if empty
	followers atomic.Pointer[[]*Subscription] // those that want growth; likewise

	mu     sync.Mutex // held to replace them
	closed bool
}

// A Growing flow is one that has not ended. Snapshot returns how far it has
// come, or nil once it has ended: its end is news by itself. It is called by
// Next.
type Growing interface{ Snapshot() *flow.Flow }

// Publish hands f to all subscribers. It never blocks. f must not change any
// more.
func (b *Bus) Publish(f *flow.Flow) {
	if b == nil {
		return
	}
	if subs := b.subs.Load(); subs != nil {
		for _, s := range *subs {
			s.offer(f)
		}
	}
}

// Grew says that there is more of an open flow. It is for hot paths: it never
// blocks, allocates nothing, and while nobody follows it does nothing. The
// snapshot is made when a subscriber gets to it, and by the subscriber.
func (b *Bus) Grew(id flow.ID, g Growing) {
	if b == nil {
		return
	}
	if subs := b.followers.Load(); subs != nil {
		for _, s := range *subs {
			s.grew(id, g)
		}
	}
}

// Subscribe returns a subscription to how flows begin and end. It holds at most
// depth snapshots, at least one; name is for whoever lists subscribers. The
// caller closes it.
func (b *Bus) Subscribe(name string, depth int) *Subscription {
	return b.add(newSubscription(b, name, depth))
}

// Follow returns a subscription to how flows begin, grow and end. Growth takes
// no room: of a flow that waits to be looked at, it waits once.
func (b *Bus) Follow(name string, depth int) *Subscription {
	s := newSubscription(b, name, depth)
	s.follows = true
	return b.add(s)
}

func (b *Bus) add(s *Subscription) *Subscription {
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
	store(&b.subs, subs)
	store(&b.followers, slices.DeleteFunc(slices.Clone(subs), func(s *Subscription) bool { return !s.follows }))
}

func store(to *atomic.Pointer[[]*Subscription], subs []*Subscription) {
	if len(subs) == 0 {
		to.Store(nil)
		return
	}
	to.Store(&subs)
}
