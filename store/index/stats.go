package index

import (
	"context"
	"maps"
	"slices"

	"transom/filter"
	"transom/flow"
)

// topHosts is how many hosts Stats tells of.
const topHosts = 100

// Stats counts what is indexed.
func (x *Index) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Types: map[string]int64{}, Hosts: map[string]int64{}}
	x.mu.Lock()
	blocks, hot := x.blocks, x.hot.freeze()
	x.mu.Unlock()
	err := s.count(source{rows: hot, n: len(hot.id)})
	for _, b := range blocks {
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = x.unlessGone(b, s.count(source{rows: x.db.rows(b), n: b.n, block: b}))
		}
	}
	if err != nil {
		return Stats{}, err
	}
	s.top()
	s.Size, err = x.db.size()
	return s, err
}

// count adds what is in a block.
func (s *Stats) count(from source) error {
	ids, err := from.ids()
	if err != nil {
		return err
	}
	sizes, err := from.numbers(columnNumbers + int(filter.Size))
	if err != nil {
		return err
	}
	types, is, err := from.texts(filter.Protocol) // the type is what it begins with
	if err != nil {
		return err
	}
	hosts, at, err := from.texts(filter.Name)
	if err != nil {
		return err
	}
	ofType, ofHost := make([]int64, len(types)), make([]int64, len(hosts))
	for row := range ids {
		if from.block != nil && from.block.isDead(row) {
			continue
		}
		s.Flows++
		s.Bytes += sizes[row]
		ofType[is[row]]++
		ofHost[at[row]]++
		if s.Oldest == (flow.ID{}) || compareIDs(ids[row], s.Oldest) < 0 {
			s.Oldest = ids[row]
		}
	}
	add(s.Types, types, ofType)
	add(s.Hosts, hosts, ofHost)
	return nil
}

func add(to map[string]int64, lists []string, counts []int64) {
	for i, n := range counts {
		if n > 0 {
			to[filter.First(lists[i])] += n
		}
	}
}

// top leaves the hosts with most flows.
func (s *Stats) top() {
	if len(s.Hosts) <= topHosts {
		return
	}
	names := slices.SortedFunc(maps.Keys(s.Hosts), func(a, b string) int { return int(s.Hosts[b] - s.Hosts[a]) })
	for _, name := range names[topHosts:] {
		delete(s.Hosts, name)
	}
}
