package index_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"transom/filter"
	"transom/flow"
	"transom/internal/testnet/traffic"
	"transom/store/index"
	"transom/store/segment"
)

// A model is what an index should know, and the index.
type model struct {
	path    string
	options index.Options
	x       *index.Index
	flows   map[flow.ID]index.Put
	bodies  map[uint64]index.Body
	kept    traffic.Bodies
	end     segment.Position
	log     []logged // what a crash may make it be told again
}

type logged struct {
	entries []index.Entry
	to      segment.Position
}

func (m *model) open(t *rapid.T) {
	var err error
	if m.x, err = index.Open(m.path, m.options); err != nil {
		t.Fatal(err)
	}
	m.x.Shrink(8, 6)
}

func (m *model) apply(t *rapid.T, entries ...index.Entry) {
	m.end.Offset++
	m.log = append(m.log, logged{entries, m.end})
	if err := m.x.Apply(t.Context(), entries, m.end); err != nil {
		t.Fatal(err)
	}
}

// step does what happens to a log.
func (m *model) step(t *rapid.T) {
	known := slices.SortedFunc(maps.Keys(m.flows), func(a, b flow.ID) int { return bytes.Compare(a[:], b[:]) })
	kind := rapid.IntRange(0, 13).Draw(t, "step")
	switch {
	case kind == 0 && len(known) > 0:
		id := rapid.SampledFrom(known).Draw(t, "deleted")
		delete(m.flows, id)
		m.apply(t, index.Deleted{ID: id})
	case kind == 1 && m.end.Segment > 1 && rapid.Bool().Draw(t, "one"):
		m.removeSegment(t, uint64(rapid.IntRange(1, int(m.end.Segment)-1).Draw(t, "segment")))
	case kind == 1:
		m.begins(t)
	case kind == 2:
		m.end = segment.Position{Segment: m.end.Segment + 1}
	case kind == 3:
		if err := m.x.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	case kind == 4:
		m.reopen(t)
	case kind == 5 && len(m.kept) > 0:
		n := uint64(rapid.IntRange(1, len(m.kept)).Draw(t, "body"))
		delete(m.bodies, n)
		m.apply(t, index.Dropped{Number: n})
	case kind == 6 && len(known) > 0:
		m.put(t, m.flows[rapid.SampledFrom(known).Draw(t, "again")].Flow.ID)
	default:
		m.put(t, flow.ID{})
	}
}

// put makes up a flow with its bodies; a new one, or another state of one.
func (m *model) put(t *rapid.T, id flow.ID) {
	before := len(m.kept)
	f := traffic.Flow(t, &m.kept)
	if !id.IsZero() {
		f.ID = id
	}
	var entries []index.Entry
	for i := before; i < len(m.kept); i++ {
		b := index.Body{Number: uint64(i + 1), Size: int64(len(m.kept[i])), Extents: []index.Extent{{Position: m.end, Length: int64(len(m.kept[i]))}}}
		m.bodies[b.Number] = b
		entries = append(entries, b)
	}
	if rapid.Bool().Draw(t, "texts") {
		for b, err := range filter.BodyTexts(t.Context(), f, &m.kept) {
			if err == nil {
				entries = append(entries, index.Text(b))
			}
		}
	}
	p := index.Put{Flow: f, Position: m.end}
	if old, ok := m.flows[f.ID]; !ok || old.Flow.Rev <= f.Rev {
		m.flows[f.ID] = p
	}
	m.apply(t, append(entries, p)...)
}

func (m *model) removeSegment(t *rapid.T, n uint64) {
	maps.DeleteFunc(m.flows, func(_ flow.ID, p index.Put) bool { return p.Position.Segment == n })
	maps.DeleteFunc(m.bodies, func(_ uint64, b index.Body) bool { return b.Extents[0].Position.Segment == n })
	m.apply(t, index.Removed{From: n, To: n})
}

func (m *model) begins(t *rapid.T) {
	n := m.end.Segment
	maps.DeleteFunc(m.flows, func(_ flow.ID, p index.Put) bool { return p.Position.Segment < n })
	maps.DeleteFunc(m.bodies, func(_ uint64, b index.Body) bool { return b.Extents[0].Position.Segment < n })
	m.apply(t, index.Removed{To: n - 1})
}

// reopen closes the index, or leaves it as a crash does, and tells what it lacks.
func (m *model) reopen(t *rapid.T) {
	if m.path == "" {
		return
	}
	if rapid.Bool().Draw(t, "crash") {
		m.x.Abandon()
	} else if err := m.x.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	for _, l := range m.log {
		if m.x.At().Before(l.to) {
			if err := m.x.Apply(t.Context(), l.entries, l.to); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// check asks a question and compares with what is found without an index.
func (m *model) check(t *rapid.T) {
	text := traffic.Question(t)
	x, err := filter.Parse(text, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := index.Query{Filter: x, By: index.Order(rapid.IntRange(0, 3).Draw(t, "order")), Descending: rapid.Bool().Draw(t, "descending")}
	var want []*flow.Flow
	for _, p := range m.flows {
		if is, _ := x.Match(t.Context(), p.Flow, &m.kept); is {
			want = append(want, p.Flow)
		}
	}
	slices.SortFunc(want, func(a, b *flow.Flow) int { return order(q, a, b) })
	var got []flow.ID
	restart := rapid.IntRange(0, 5).Draw(t, "restart after")
	for again := true; again; {
		again = false
		for h, err := range m.x.Query(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			p, ok := m.flows[h.ID]
			if !ok || p.Flow.Rev != h.Rev || p.Position != h.Position {
				t.Fatalf("%s: %+v, want %+v", text, h, p)
			}
			is, _ := x.Match(t.Context(), p.Flow, &m.kept)
			if h.Sure && !is {
				t.Fatalf("%s: %+v does not match %+v", text, h, p.Flow)
			}
			if is {
				got = append(got, h.ID)
			}
			if restart--; restart == 0 {
				if q.After, again = h.Cursor, true; rapid.Bool().Draw(t, "only an id") {
					q.After = index.Cursor{ID: h.ID}
				}
				break
			}
		}
	}
	if !slices.EqualFunc(got, want, func(id flow.ID, f *flow.Flow) bool { return id == f.ID }) {
		t.Fatalf("%s by %v, descending %v: %d found, want %d\n%v", text, q.By, q.Descending, len(got), len(want), got)
	}
}

func order(q index.Query, a, b *flow.Flow) int {
	c := 0
	switch q.By {
	case index.BySize:
		c = cmp.Compare(size(a), size(b))
	case index.ByDuration:
		c = cmp.Compare(lasted(a), lasted(b))
	case index.ByHost:
		c = strings.Compare(a.Conn.Name(), b.Conn.Name())
	}
	if c == 0 {
		c = bytes.Compare(a.ID[:], b.ID[:])
	}
	if q.Descending {
		return -c
	}
	return c
}

func size(f *flow.Flow) int64 {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.RequestBody.Size + d.ResponseBody.Size
	case *flow.Messages:
		return d.Bytes[0] + d.Bytes[1]
	case *flow.Connection:
		return d.Bytes[0] + d.Bytes[1]
	case *flow.DNS:
		n := int64(0)
		for _, m := range []*flow.DNSMessage{d.Query, d.Answer} {
			if m != nil {
				n += int64(len(m.Raw))
			}
		}
		return n
	}
	return 0
}

func lasted(f *flow.Flow) int64 {
	return int64(f.Duration())
}

// checkRest compares what is known besides.
func (m *model) checkRest(t *rapid.T) {
	stats, err := m.x.Stats(t.Context())
	if err != nil || stats.Flows != int64(len(m.flows)) {
		t.Fatalf("%+v, %v, want %d flows", stats, err, len(m.flows))
	}
	for n := range m.kept {
		got, err := m.x.Body(t.Context(), uint64(n+1))
		want, ok := m.bodies[uint64(n+1)]
		if ok && (err != nil || got.Size != want.Size || !slices.Equal(got.Extents, want.Extents)) || !ok && !errors.Is(err, index.ErrUnknown) {
			t.Fatalf("body %d is %+v, %v, want %+v", n+1, got, err, want)
		}
	}
	for id, p := range m.flows {
		if h, err := m.x.Lookup(t.Context(), id); err != nil || h.Position != p.Position || h.Rev != p.Flow.Rev {
			t.Fatalf("%v: %+v, %v", id, h, err)
		}
	}
}

// TestQueriesAgree: whatever happens to the log, what is asked of the index finds what
// matches among all flows, in order.
func TestQueriesAgree(t *testing.T) {
	dir, run := t.TempDir(), 0
	blocks, runs := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		m := &model{flows: map[flow.ID]index.Put{}, bodies: map[uint64]index.Body{}, end: segment.Position{Segment: 1}}
		if rapid.Bool().Draw(t, "file") {
			m.path = filepath.Join(dir, fmt.Sprintf("odd %% ?#%d", run))
		}
		m.options.Trigrams = rapid.Bool().Draw(t, "trigrams")
		m.open(t)
		defer func() { m.x.Abandon() }()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			m.step(t)
		}
		for range 8 {
			m.check(t)
		}
		m.checkRest(t)
		b, r := m.x.Blocks()
		blocks, runs = blocks+b, runs+r
	})
	if blocks == 0 || runs == 0 {
		t.Errorf("%d blocks and %d runs were made", blocks, runs)
	}
}
