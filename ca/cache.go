package ca

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/maphash"
	"sync"
	"time"
)

// errAbandoned tells waiters that the one who was minting went away, and that
// they should try for themselves.
var errAbandoned = errors.New("minting was abandoned")

// A minter makes the leaf of a spec, and says when it is to be made anew; the
// zero time is never.
type minter func(ctx context.Context, s spec) (leaf *tls.Certificate, renew time.Time, err error)

// A cache keeps leaves by their spec, the least recently used going first, and
// has each minted by one caller however many want it. It is in shards, so that
// the one lock that every new connection takes is seldom fought over.
type cache struct {
	mint   minter
	seed   maphash.Seed
	shards []shard
}

// cacheShards is how many parts a cache of some size has.
const cacheShards = 16

// cacheBytesPerEntry bounds the memory of a cache together with its number of
// entries: a leaf with few names takes about half of it, one with 256 names
// ten times as much.
const cacheBytesPerEntry = 8 << 10

// newCache returns a cache of at most size leaves.
func newCache(size int, mint minter) *cache {
	n := cacheShards
	if size < 4*cacheShards {
		n = 1
	}
	c := &cache{mint: mint, seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.room = (size + n - 1) / n
		s.byteRoom = s.room * cacheBytesPerEntry
		s.entries = make(map[spec]*entry)
		s.ring.prev, s.ring.next = &s.ring, &s.ring
	}
	return c
}

// get returns the leaf of key, minting it if need be. While another caller
// mints it, get waits no longer than ctx.
func (c *cache) get(ctx context.Context, key []byte, now time.Time) (*tls.Certificate, error) {
	s := &c.shards[maphash.Bytes(c.seed, key)%uint64(len(c.shards))]
	for {
		leaf, e, mine := s.claim(key, now)
		if leaf != nil {
			return leaf, nil
		}
		if mine {
			return c.fill(ctx, s, e)
		}
		select {
		case <-e.done:
			if errors.Is(e.err, errAbandoned) {
				continue
			}
			return e.leaf, e.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// fill mints the leaf of e, which the caller claimed.
func (c *cache) fill(ctx context.Context, s *shard, e *entry) (*tls.Certificate, error) {
	err := errAbandoned // if mint panics
	defer func() {
		e.err = err
		s.settle(e)
		close(e.done)
	}()
	leaf, renew, mintErr := c.mint(ctx, e.key)
	if mintErr != nil {
		if err = mintErr; ctx.Err() != nil {
			err = errAbandoned
		}
		return nil, mintErr
	}
	e.leaf, e.renew, err = leaf, renew, nil
	e.cost = len(e.key) + 3<<10
	for _, der := range leaf.Certificate[:1] { // the rest of the chain is shared
		e.cost += 3 * len(der)
	}
	return leaf, nil
}

// A shard is one part of a cache. Pending entries are in the map only; settled
// ones are also in the ring, the most recently used at ring.next.
type shard struct {
	mu       sync.Mutex
	entries  map[spec]*entry
	ring     entry
	count    int // settled
	bytes    int
	room     int
	byteRoom int
	_        [64]byte // keeps neighbours' locks off this cache line
}

type entry struct {
	key        spec
	prev, next *entry
	done       chan struct{} // closed once leaf and err are final
	settled    bool          // guarded by the shard's lock
	leaf       *tls.Certificate
	renew      time.Time
	err        error
	cost       int
}

// claim returns the leaf if it is there, else the pending entry to wait for, or
// to fill if it is mine.
func (s *shard) claim(key []byte, now time.Time) (leaf *tls.Certificate, e *entry, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e = s.entries[spec(key)]
	if e != nil && !e.settled {
		return nil, e, false
	}
	if e != nil {
		s.unlinkLocked(e)
		if e.fresh(now) {
			s.linkLocked(e)
			return e.leaf, nil, false
		}
	}
	e = &entry{key: spec(key), done: make(chan struct{})}
	s.entries[e.key] = e
	return nil, e, true
}

// fresh reports whether the leaf can be used at now: neither due for renewal
// nor, after the clock was set back, from the future.
func (e *entry) fresh(now time.Time) bool {
	return e.renew.IsZero() || now.Before(e.renew) && !now.Before(e.leaf.Leaf.NotBefore)
}

// settle makes room for e, or forgets it if it failed.
func (s *shard) settle(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.err != nil {
		delete(s.entries, e.key)
		return
	}
	e.settled = true
	s.linkLocked(e)
	for s.ring.prev != e && (s.count > s.room || s.bytes > s.byteRoom) {
		old := s.ring.prev
		s.unlinkLocked(old)
		delete(s.entries, old.key)
	}
}

func (s *shard) linkLocked(e *entry) {
	e.prev, e.next = &s.ring, s.ring.next
	e.prev.next, e.next.prev = e, e
	s.count++
	s.bytes += e.cost
}

func (s *shard) unlinkLocked(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	s.count--
	s.bytes -= e.cost
}
