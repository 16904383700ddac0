package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"transom/flow"
	"transom/store"
)

// actVariable has the test binary be another process: one that writes to this
// directory until it is killed.
const actVariable = "TRANSOM_TEST_STORE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(actVariable); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

var epoch = time.Unix(1_700_000_000, 0)

func id(n int) flow.ID { return flow.NewID(epoch.Add(time.Duration(n) * time.Millisecond)) }

func httpFlow(id flow.ID, rev uint32, state flow.State, body flow.BodyRef) *flow.Flow {
	return &flow.Flow{ID: id, Rev: rev, State: state, Detail: &flow.HTTP{
		Request:      &flow.RequestHead{Method: "GET", Authority: "shop.example", Target: "/"},
		ResponseBody: body,
	}}
}

func put(t testing.TB, m store.Store, f *flow.Flow) {
	t.Helper()
	if err := m.Put(context.Background(), f); err != nil {
		t.Fatalf("Put: %v", err)
	}
}

func write(t testing.TB, w io.Writer, p []byte) {
	t.Helper()
	if n, err := w.Write(p); n != len(p) || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
}

// A shelf is what flows and bodies are read from.
type shelf interface {
	Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error]
	OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error)
}

// ids collects what the store yields.
func ids(t testing.TB, m shelf, q store.Query) []flow.ID {
	t.Helper()
	var out []flow.ID
	for f, err := range m.Flows(context.Background(), q) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, f.ID)
	}
	return out
}

func open(m shelf, ref flow.BodyRef) ([]byte, error) {
	r, err := m.OpenBody(context.Background(), ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestFlowsComeByID(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	all := make([]flow.ID, 500)
	for i := range all {
		all[i] = id(i)
	}
	for _, i := range rand.Perm(len(all)) {
		put(t, m, httpFlow(all[i], 0, flow.Open, flow.BodyRef{}))
		put(t, m, httpFlow(all[i], 1, flow.Done, flow.BodyRef{}))
	}
	for _, tc := range []struct {
		name string
		q    store.Query
		want []flow.ID
	}{
		{"all", store.Query{}, all},
		{"after", store.Query{After: all[99]}, all[100:]},
		{"after-unknown", store.Query{After: id(1000)}, nil},
		{"limit", store.Query{After: all[99], Limit: 70}, all[100:170]},
		{"match", store.Query{Match: func(f *flow.Flow) bool { return f.ID == all[300] }, Limit: 1}, all[300:301]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ids(t, m, tc.q)
			if len(got) != len(tc.want) {
				t.Fatalf("%d flows, want %d", len(got), len(tc.want))
			}
			for i := range got {
				if got[i] != tc.want[i] {
					t.Fatalf("flow %d is %v, want %v", i, got[i], tc.want[i])
				}
			}
		})
	}
}

func TestFlowsEndsWithContext(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	put(t, m, httpFlow(id(1), 0, flow.Done, flow.BodyRef{}))
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	cancel(why)
	for f, err := range m.Flows(ctx, store.Query{}) {
		if f != nil || err != why {
			t.Errorf("got %v, %v", f, err)
		}
	}
}

func TestPutKeepsTheNewest(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	x := id(1)
	put(t, m, httpFlow(x, 2, flow.Done, flow.BodyRef{}))
	put(t, m, httpFlow(x, 1, flow.Open, flow.BodyRef{}))
	for f := range m.Flows(context.Background(), store.Query{}) {
		if f.Rev != 2 {
			t.Errorf("rev %d", f.Rev)
		}
	}
}

func TestBody(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limit  int64
		writes []int
		kept   int
	}{
		{"empty", 0, nil, 0},
		{"small", 0, []int{5}, 5},
		{"bytes", 0, []int{1, 1, 1, 1, 1, 600, 1}, 606},
		{"pieces", 0, []int{32 << 10, 32 << 10, 1000, 200 << 10}, 264<<10 + 1000},
		{"exact", 10, []int{5, 5}, 10},
		{"cut", 10, []int{5, 7, 3}, 10},
		{"default-limit", 0, []int{1<<20 + 1}, 1 << 20},
		{"nothing", -1, []int{5}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := store.NewMemory(store.MemoryOptions{BodyLimit: tc.limit})
			defer m.Close()
			w := m.NewBody()
			first := w.Ref()
			var all []byte
			for i, n := range tc.writes {
				p := bytes.Repeat([]byte{byte('a' + i)}, n)
				all = append(all, p...)
				write(t, w, p)
			}
			ref := w.Ref()
			want := flow.BodyRef{Size: int64(len(all)), Kept: int64(tc.kept), Truncated: tc.kept < len(all), Segment: first.Segment, Offset: first.Offset}
			if ref != want {
				t.Errorf("ref %+v, want %+v", ref, want)
			}
			got, err := open(m, ref)
			if err != nil || !bytes.Equal(got, all[:tc.kept]) {
				t.Errorf("read %d bytes, %v; want the first %d of what was written", len(got), err, tc.kept)
			}
			s := m.Stats()
			if s.DroppedBytes != int64(len(all)-tc.kept) || (s.TruncatedBody == 1) != want.Truncated {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestBodyIsReadWhileItIsWritten(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	w := m.NewBody()
	r, err := m.OpenBody(context.Background(), w.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	buf := make([]byte, 8)
	if n, err := r.Read(buf); n != 0 || err != io.EOF {
		t.Errorf("before: %d, %v", n, err)
	}
	write(t, w, []byte("hello"))
	if n, err := r.Read(buf); string(buf[:n]) != "hello" || err != nil {
		t.Errorf("after: %q, %v", buf[:n], err)
	}
	if at, err := r.Seek(-2, io.SeekEnd); at != 3 || err != nil {
		t.Errorf("seek: %d, %v", at, err)
	}
	if rest, err := io.ReadAll(r); string(rest) != "lo" || err != nil {
		t.Errorf("rest: %q, %v", rest, err)
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("seek before the start")
	}
}

func TestBodyLivesAsLongAsAFlow(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	w := m.NewBody()
	write(t, w, []byte("hello"))
	ref := w.Ref()
	x := id(1)
	put(t, m, httpFlow(x, 0, flow.Open, flow.BodyRef{}))
	put(t, m, httpFlow(x, 1, flow.Done, ref))
	w.Close()
	r, err := m.OpenBody(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := open(m, ref); string(got) != "hello" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	m.Delete(context.Background(), x, id(2))
	if _, err := open(m, ref); !errors.Is(err, store.ErrGone) {
		t.Errorf("after delete: %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, store.ErrGone) {
		t.Errorf("an open reader: %v", err)
	}
	if s := m.Stats(); s.Bytes != 0 || s.Bodies != 0 || s.Flows != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestUnreferencedBodyGoesWithItsWriter(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	w := m.NewBody()
	write(t, w, []byte("hello"))
	w.Close()
	if s := m.Stats(); s.Bytes != 0 || s.Bodies != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestEmptyRef(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	if got, err := open(m, flow.BodyRef{}); len(got) != 0 || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEvictionTakesTheLongestDone(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{MaxBytes: 64 << 10})
	defer m.Close()
	waiting := id(0)
	put(t, m, httpFlow(waiting, 0, flow.Open, flow.BodyRef{}))
	refs := map[flow.ID]flow.BodyRef{}
	var order []flow.ID
	for i := 1; i <= 20; i++ {
		x, w := id(i), m.NewBody()
		write(t, w, make([]byte, 8<<10))
		put(t, m, httpFlow(x, 1, flow.Done, w.Ref()))
		refs[x] = w.Ref()
		order = append(order, x)
		w.Close()
		if s := m.Stats(); s.Bytes > s.Max {
			t.Fatalf("%d bytes of %d", s.Bytes, s.Max)
		}
	}
	got := ids(t, m, store.Query{})
	s := m.Stats()
	if int(s.Evicted) != 21-len(got) || s.EvictedOpen != 0 || len(got) < 5 {
		t.Fatalf("%d flows, %+v", len(got), s)
	}
	if got[0] != waiting {
		t.Error("the open flow is gone")
	}
	for i, x := range order {
		_, err := open(m, refs[x])
		if old := i < int(s.Evicted); old != errors.Is(err, store.ErrGone) {
			t.Errorf("body %d of %d evicted: %v", i, s.Evicted, err)
		}
	}
}

func TestOpenFlowsGoLast(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{MaxBytes: 16 << 10})
	defer m.Close()
	w := m.NewBody()
	put(t, m, httpFlow(id(0), 0, flow.Open, w.Ref()))
	write(t, w, []byte("hello"))
	for i := 1; i < 100; i++ {
		put(t, m, httpFlow(id(i), 0, flow.Open, flow.BodyRef{}))
	}
	if s := m.Stats(); s.EvictedOpen == 0 || s.Bytes > s.Max {
		t.Fatalf("%+v", s)
	}
	write(t, w, []byte("hello"))
	if ref := w.Ref(); ref.Size != 10 || ref.Kept != 0 || !ref.Truncated {
		t.Errorf("body of an evicted flow: %+v", ref)
	}
	put(t, m, httpFlow(id(0), 1, flow.Done, w.Ref()))
	if _, err := open(m, w.Ref()); !errors.Is(err, store.ErrGone) {
		t.Errorf("%v", err)
	}
}

func TestBodiesDoNotDriveOutOpenFlows(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{MaxBytes: 64 << 10})
	defer m.Close()
	for i := range 10 {
		w := m.NewBody()
		put(t, m, httpFlow(id(i), 0, flow.Open, w.Ref()))
		write(t, w, make([]byte, 32<<10))
	}
	if s := m.Stats(); s.Flows != 10 || s.EvictedOpen != 0 || s.TruncatedBody == 0 || s.Bytes > s.Max {
		t.Errorf("%+v", s)
	}
}

func TestTooLarge(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{MaxBytes: 4 << 10})
	defer m.Close()
	f := httpFlow(id(1), 0, flow.Done, flow.BodyRef{})
	f.Detail.(*flow.HTTP).Request.Raw = make([]byte, 5<<10)
	if err := m.Put(context.Background(), f); !errors.Is(err, store.ErrFull) {
		t.Errorf("%v", err)
	}
	if s := m.Stats(); s.Refused != 1 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// Whatever is done, the bound holds and nothing is left behind.
func TestBoundHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		m := store.NewMemory(store.MemoryOptions{MaxBytes: 32 << 10, BodyLimit: 10 << 10})
		conns := []*flow.Conn{nil, {Host: "a"}, {Host: "b", Layers: make([]flow.Layer, 3)}}
		var writers []store.BodyWriter
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				writers = append(writers, m.NewBody())
			case 1:
				if len(writers) > 0 {
					w := rapid.SampledFrom(writers).Draw(t, "w")
					w.Write(make([]byte, rapid.IntRange(0, 6000).Draw(t, "n")))
				}
			case 2, 3:
				f := httpFlow(id(rapid.IntRange(0, 9).Draw(t, "id")), 0, flow.State(rapid.IntRange(0, 2).Draw(t, "state")), flow.BodyRef{})
				f.ID[8], f.ID[9], f.ID[10], f.ID[11], f.ID[12], f.ID[13], f.ID[14], f.ID[15] = 0, 0, 0, 0, 0, 0, 0, 0
				f.Conn = rapid.SampledFrom(conns).Draw(t, "conn")
				if len(writers) > 0 {
					f.Detail.(*flow.HTTP).ResponseBody = rapid.SampledFrom(writers).Draw(t, "ref").Ref()
				}
				if err := m.Put(ctx, f); err != nil && !errors.Is(err, store.ErrFull) {
					t.Fatal(err)
				}
			case 4:
				if len(writers) > 0 {
					writers[0].Close()
					writers = writers[1:]
				}
			}
			if s := m.Stats(); s.Bytes > s.Max || s.Bytes < 0 {
				t.Fatalf("%+v", s)
			}
		}
		for _, w := range writers {
			w.Close()
		}
		for f := range m.Flows(ctx, store.Query{}) {
			m.Delete(ctx, f.ID)
		}
		if s := m.Stats(); s.Bytes != 0 || s.Flows != 0 || s.Bodies != 0 {
			t.Fatalf("left behind: %+v", s)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{MaxBytes: 256 << 10})
	defer m.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				x, w := id(g*1000+i), m.NewBody()
				put(t, m, httpFlow(x, 0, flow.Open, w.Ref()))
				for range 5 {
					write(t, w, make([]byte, 1000))
				}
				open(m, w.Ref())
				put(t, m, httpFlow(x, 1, flow.Done, w.Ref()))
				w.Close()
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			for f, err := range m.Flows(context.Background(), store.Query{}) {
				if err != nil || f == nil {
					t.Error(f, err)
				}
			}
		}
	})
	wg.Wait()
	if s := m.Stats(); s.Bytes > s.Max || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
}

// The bound is on what the heap really holds, within the allocator's rounding.
func TestBoundIsHonest(t *testing.T) {
	const limit = 8 << 20
	before := heap()
	m := store.NewMemory(store.MemoryOptions{MaxBytes: limit})
	for i := range 30_000 {
		w := m.NewBody()
		write(t, w, make([]byte, 300))
		f := httpFlow(id(i), 1, flow.Done, w.Ref())
		f.Conn = &flow.Conn{Host: "shop.example"}
		put(t, m, f)
		w.Close()
	}
	after := heap()
	s := m.Stats()
	if s.Evicted == 0 {
		t.Fatalf("not filled: %+v", s)
	}
	t.Logf("limit %d, counted %d, heap %d, flows %d", limit, s.Bytes, after-before, s.Flows)
	if held := after - before; held > limit*5/4 {
		t.Errorf("the heap holds %d for a limit of %d", held, limit)
	}
	m.Close()
}

func heap() int64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

func BenchmarkPutExchange(b *testing.B) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	ctx := context.Background()
	b.ReportAllocs()
	start, end := flow.Flow{}, flow.Flow{Rev: 1, State: flow.Done, Detail: &flow.HTTP{}}
	for b.Loop() {
		s, e := start, end
		s.ID = flow.NewID(time.Now())
		e.ID = s.ID
		m.Put(ctx, &s)
		m.Put(ctx, &e)
	}
}

func BenchmarkSmallBody(b *testing.B) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	ctx := context.Background()
	p := make([]byte, 1000)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		w := m.NewBody()
		w.Write(p)
		m.Put(ctx, &flow.Flow{ID: flow.NewID(time.Now()), State: flow.Done, Detail: &flow.HTTP{ResponseBody: w.Ref()}})
		w.Close()
	}
}
