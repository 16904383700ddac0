package transom

import (
	"bytes"
	"context"
	"iter"
	"slices"

	"transom/flow"
	"transom/internal/engine/bus"
	"transom/store"
)

// Watch yields flows as they begin and end, until Close or until ctx is done. A
// caller that is too slow for them gets what it missed from the store. What the
// store no longer has either is counted: with each flow comes the number of
// snapshots that were lost before it, and a nil flow where there is only that
// number.
func (p *Proxy) Watch(ctx context.Context) iter.Seq2[*flow.Flow, int] {
	p.setup()
	return p.watch(ctx, p.bus.Subscribe("watch", watchDepth))
}

// Follow is Watch that also yields flows while they grow: when a response has
// begun, and when bytes of a body or messages were kept. Growth that comes
// faster than it is looked at is seen together; what grew is in the store, by
// the flow's BodyRefs.
func (p *Proxy) Follow(ctx context.Context) iter.Seq2[*flow.Flow, int] {
	p.setup()
	return p.watch(ctx, p.bus.Follow("follow", watchDepth))
}

// watchDepth is how many flows a watcher may fall behind before it has to read
// the store.
const watchDepth = 16384

func (p *Proxy) watch(ctx context.Context, sub *bus.Subscription) iter.Seq2[*flow.Flow, int] {
	return func(yield func(*flow.Flow, int) bool) {
		defer sub.Close()
		for {
			news, err := sub.Next(ctx)
			if err != nil {
				return
			}
			found, lost := p.missed(ctx, news.Missed)
			lost += news.Lost
			for _, flows := range [][]*flow.Flow{found, news.Flows} {
				for _, f := range flows {
					if !yield(f, lost) {
						return
					}
					lost = 0
				}
			}
			if lost > 0 && !yield(nil, lost) {
				return
			}
		}
	}
}

// missed returns of what was missed what the store still has, and how many ends
// it has not. A flow that has ended since is left to its end, which comes.
func (p *Proxy) missed(ctx context.Context, missed []bus.Missed) (found []*flow.Flow, lost int) {
	if len(missed) == 0 {
		return nil, 0
	}
	ended := map[flow.ID]bool{}
	for _, m := range missed {
		ended[m.ID] = m.Ended
		if m.Ended {
			lost++
		}
	}
	first := slices.MinFunc(missed, func(a, b bus.Missed) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	among := func(f *flow.Flow) bool {
		end, ok := ended[f.ID]
		return ok && end == (f.State != flow.Open)
	}
	for f, err := range p.Store.Flows(ctx, store.Query{Match: among, After: before(first.ID)}) {
		if err != nil {
			break // what it did not give is lost
		}
		found = append(found, f)
		if f.State != flow.Open {
			lost--
		}
	}
	slices.SortStableFunc(found, func(a, b *flow.Flow) int { return a.End.Compare(b.End) })
	return found, lost
}

// before returns the greatest ID that is less than id, which is not zero.
func before(id flow.ID) flow.ID {
	for i := len(id) - 1; i >= 0; i-- {
		id[i]--
		if id[i] != 0xff {
			break
		}
	}
	return id
}
