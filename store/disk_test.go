package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"transom/filter"
	"transom/flow"
	"transom/internal/testnet"
	"transom/internal/testnet/disk"
	"transom/store"
	"transom/store/wire"
)

// newDisk opens a store in a directory of the test's.
func newDisk(t *testing.T, o store.DiskOptions) *store.Disk {
	t.Helper()
	if o.FS == nil && o.Dir == "" {
		o.Dir = t.TempDir()
	}
	d, err := store.OpenDisk(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// sameFlow takes nothing for nothing, however it is said.
var sameFlow = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}), cmp.Comparer(time.Time.Equal)}

// begin is when the flows of tests begin.
var begin = time.Unix(1_700_000_000, 0)

// someFlow is the i-th flow: one of a few connections, and an ordinary exchange.
func someFlow(i int, conns []*flow.Conn, request, response flow.BodyRef) *flow.Flow {
	start := begin.Add(time.Duration(i) * time.Millisecond)
	raw := fmt.Sprintf("GET /item/%d HTTP/1.1\r\nHost: shop.example\r\n\r\n", i)
	return &flow.Flow{
		ID: flow.NewID(start), Rev: 1, Start: start, End: start.Add(time.Second), State: flow.Done, Conn: conns[i%len(conns)],
		Detail: &flow.HTTP{
			Request: &flow.RequestHead{
				Method: "GET", Scheme: "http", Target: fmt.Sprintf("/item/%d", i), Proto: flow.HTTP11, Raw: []byte(raw),
				Header: flow.Header{{Name: "Host", Value: "shop.example"}},
			},
			Response:    &flow.ResponseHead{Status: 200, Proto: flow.HTTP11},
			RequestBody: request, ResponseBody: response,
		},
	}
}

func someConns(n int) (conns []*flow.Conn) {
	for i := range n {
		conns = append(conns, &flow.Conn{
			ID: flow.NewID(begin), Start: begin, Network: "tcp", Via: "redirect", Host: fmt.Sprintf("host%d.example", i),
			Client: netip.MustParseAddrPort("192.0.2.1:4711"), Dst: netip.MustParseAddrPort("203.0.113.7:443"),
			Layers: []flow.Layer{{Proto: "tls", TLS: &flow.TLS{Hello: bytes.Repeat([]byte{byte(i)}, 500), Chain: [][]byte{[]byte("leaf"), []byte("root")}}}},
		})
	}
	return conns
}

// record puts n flows with bodies of up to most bytes, and returns them and their bodies.
func record(t *testing.T, d store.Store, n, most int) (flows []*flow.Flow, bodies map[uint64][]byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(n), uint64(most)))
	conns := someConns(7)
	bodies = map[uint64][]byte{}
	for i := range n {
		var refs [2]flow.BodyRef
		var writers [2]store.BodyWriter
		for j := range refs {
			w := d.NewBody()
			for range r.IntN(4) {
				p := bytes.Repeat([]byte{byte(r.Uint32())}, r.IntN(most))
				write(t, w, p)
				bodies[w.Ref().Segment] = append(bodies[w.Ref().Segment], p...)
			}
			refs[j], writers[j] = w.Ref(), w
		}
		f := someFlow(i, conns, refs[0], refs[1])
		put(t, d, f)
		flows = append(flows, f)
		for _, w := range writers {
			w.Close()
		}
	}
	return flows, bodies
}

// same fails unless d has these flows and bodies.
func same(t *testing.T, d shelf, flows []*flow.Flow, bodies map[uint64][]byte) {
	t.Helper()
	n := 0
	for f, err := range d.Flows(context.Background(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n >= len(flows) {
			t.Fatalf("one flow too many: %v", f)
		}
		if a, b := wire.AppendFlow(nil, flows[n], 0), wire.AppendFlow(nil, f, 0); !bytes.Equal(a, b) || f.Conn.Host != flows[n].Conn.Host || n%100 == 0 {
			if diff := cmp.Diff(flows[n], f, sameFlow); diff != "" {
				t.Fatal(diff)
			}
		}
		h := f.Detail.(*flow.HTTP)
		for _, ref := range []flow.BodyRef{h.RequestBody, h.ResponseBody} {
			if got, err := open(d, ref); err != nil || !bytes.Equal(got, bodies[ref.Segment]) {
				t.Fatalf("flow %d, body %d: %d bytes, %v, want %d", n, ref.Segment, len(got), err, len(bodies[ref.Segment]))
			}
		}
		n++
	}
	if n != len(flows) {
		t.Fatalf("%d flows, want %d", n, len(flows))
	}
}

// What is recorded is the same while it waits, when it is written, and when the store
// was closed and opened again.
func TestDiskKeeps(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir})
	flows, bodies := record(t, d, 500, 5000)
	same(t, d, flows, bodies)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = newDisk(t, store.DiskOptions{Dir: dir})
	same(t, d, flows, bodies)
	if s := d.Stats(); s.Flows != 500 || s.Queued != 0 || s.Refused+s.TruncatedBody+s.Damaged != 0 {
		t.Errorf("%+v", s)
	}
}

// Two looks at many flows show the same, with segments so small that connections and
// bodies go across.
func TestDiskTwoPasses(t *testing.T) {
	for name, size := range map[string]int64{"usual": 0, "small": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			d := newDisk(t, store.DiskOptions{Dir: dir, SegmentSize: size, Queue: 256 << 20})
			flows, bodies := record(t, d, 10_000, 300)
			same(t, d, flows, bodies)
			same(t, d, flows, bodies)
			d.Close()
			d = newDisk(t, store.DiskOptions{Dir: dir, SegmentSize: size})
			same(t, d, flows, bodies)
			same(t, d, flows, bodies)
		})
	}
}

// A body is read while it is written, across the border between disk and memory.
func TestDiskReadWhileWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{})
		w := d.NewBody()
		put(t, d, httpFlow(id(1), 0, flow.Open, w.Ref()))
		var want []byte
		r, err := d.OpenBody(t.Context(), w.Ref())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		var got bytes.Buffer
		for i := range 100 {
			p := bytes.Repeat([]byte{byte(i)}, 3000)
			want = append(want, p...)
			write(t, w, p)
			if i%10 == 0 {
				time.Sleep(2 * time.Second)
			}
			if _, err := io.Copy(&got, r); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes, want %d", got.Len(), len(want))
		}
		put(t, d, httpFlow(id(1), 1, flow.Done, w.Ref()))
		w.Close()
		time.Sleep(2 * time.Second)
		for range 2 {
			if got, err := open(d, w.Ref()); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		}
		if s := d.Stats(); s.Queued != 0 || s.Bodies != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// A small body is written once however often it comes; but for what is written while it
// comes, which is not looked for. In fake time that is a few at most, on whatever machine.
func TestDiskKeepsSmallBodiesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		o := store.DiskOptions{Dir: dir}
		d := newDisk(t, o)
		p := bytes.Repeat([]byte("twenty thousand bytes"), 1000)
		var refs []flow.BodyRef
		for i := range 200 {
			if i%50 == 0 {
				time.Sleep(2500 * time.Millisecond) // they are not all written at once
			}
			w := d.NewBody()
			write(t, w, p[:5000*(i%4)]) // as it comes
			write(t, w, p[5000*(i%4):])
			put(t, d, httpFlow(id(i), 1, flow.Done, w.Ref()))
			w.Close()
			refs = append(refs, w.Ref())
		}
		d.Close()
		d = newDisk(t, o)
		for _, ref := range refs {
			if got, err := open(d, ref); err != nil || !bytes.Equal(got, p) {
				t.Fatal(len(got), err)
			}
		}
		if size := logSize(t, dir); size > int64(20*len(p)) {
			t.Errorf("%d bytes for 200 times %d", size, len(p))
		}
	})
}

// logSize is what the segments take, without the index.
func logSize(t *testing.T, dir string) (size int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	return size
}

func TestDiskDelete(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir})
	flows, bodies := record(t, d, 20, 100)
	d.Delete(t.Context(), flows[3].ID, id(9999))
	d.Close()
	d = newDisk(t, store.DiskOptions{Dir: dir})
	r, err := d.OpenBody(t.Context(), flows[5].Detail.(*flow.HTTP).ResponseBody)
	if err != nil {
		t.Fatal(err)
	}
	d.Delete(t.Context(), flows[5].ID)
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, store.ErrGone) {
		t.Errorf("an open reader: %v", err)
	}
	for _, f := range []*flow.Flow{flows[3], flows[5]} {
		ref := f.Detail.(*flow.HTTP).ResponseBody
		if _, err := open(d, ref); ref.Kept > 0 && !errors.Is(err, store.ErrGone) {
			t.Errorf("%v", err)
		}
	}
	rest := append(append(append([]*flow.Flow(nil), flows[:3]...), flows[4]), flows[6:]...)
	same(t, d, rest, bodies)
	d.Close()
	d = newDisk(t, store.DiskOptions{Dir: dir})
	same(t, d, rest, bodies)
}

func TestDiskBodyNobodyRefersTo(t *testing.T) {
	d := newDisk(t, store.DiskOptions{})
	w := d.NewBody()
	write(t, w, []byte("hello"))
	w.Close()
	if s := d.Stats(); s.Bodies != 0 || s.Queued != 0 {
		t.Errorf("%+v", s)
	}
}

func TestDiskBodyLimit(t *testing.T) {
	d := newDisk(t, store.DiskOptions{BodyLimit: 1000})
	w := d.NewBody()
	for range 3 {
		write(t, w, make([]byte, 600))
	}
	if ref := w.Ref(); ref.Size != 1800 || ref.Kept != 1000 || !ref.Truncated {
		t.Errorf("%+v", ref)
	}
	if s := d.Stats(); s.TruncatedBody != 1 || s.DroppedBytes != 800 {
		t.Errorf("%+v", s)
	}
}

// However fast it comes, the queue stays within its bound, and what is lost is counted.
func TestDiskFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 1 << 20
		d := newDisk(t, store.DiskOptions{Queue: queue})
		conns := someConns(3)
		refused, sent := 0, 0
		for i := range 3000 {
			w := d.NewBody()
			write(t, w, make([]byte, 2000)) // nobody else runs until we sleep
			sent += 2000
			if err := d.Put(t.Context(), someFlow(i, conns, flow.BodyRef{}, w.Ref())); err != nil {
				refused++
			}
			w.Close()
			if s := d.Stats(); s.Queued > queue {
				t.Fatalf("%+v", s)
			}
		}
		time.Sleep(3 * time.Second)
		s := d.Stats()
		kept := int64(0)
		for f, err := range d.Flows(t.Context(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			b, err := open(d, f.Detail.(*flow.HTTP).ResponseBody)
			if err != nil {
				t.Fatal(err)
			}
			kept += int64(len(b))
		}
		if int(s.Refused) != refused || s.Flows+refused != 3000 || s.Queued != 0 {
			t.Errorf("%d refused; %+v", refused, s)
		}
		t.Logf("%d bytes kept of %d, %+v", kept, sent, s)
	})
}

// When it may lose nothing, who records waits.
func TestDiskLossless(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, Queue: 256 << 10, Lossless: true})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				w := d.NewBody()
				write(t, w, bytes.Repeat([]byte{byte(g)}, 50_000))
				put(t, d, httpFlow(id(g*1000+i), 1, flow.Done, w.Ref()))
				w.Close()
			}
		})
	}
	wg.Wait()
	d.Close()
	d = newDisk(t, store.DiskOptions{Dir: dir})
	n := 0
	for f, err := range d.Flows(t.Context(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		ref := f.Detail.(*flow.HTTP).ResponseBody
		if got, err := open(d, ref); err != nil || len(got) != 50_000 {
			t.Fatal(len(got), err)
		}
		n++
	}
	if s := d.Stats(); n != 200 || s.Refused+s.TruncatedBody != 0 {
		t.Errorf("%d flows, %+v", n, s)
	}
}

// The directory stays within its bound, the oldest go, and an open flow stays.
func TestDiskRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{MaxBytes: 4 << 20, SegmentSize: 256 << 10})
		open := httpFlow(id(0), 0, flow.Open, flow.BodyRef{})
		put(t, d, open)
		r := rand.NewChaCha8([32]byte{})
		var last flow.ID
		for i := 1; i <= 1000; i++ {
			w := d.NewBody()
			p := make([]byte, 10_000)
			r.Read(p)
			write(t, w, p)
			last = id(i)
			put(t, d, httpFlow(last, 1, flow.Done, w.Ref()))
			w.Close()
			if i%20 == 0 {
				time.Sleep(1100 * time.Millisecond)
				if s := d.Stats(); s.Bytes > s.Max {
					t.Fatalf("%+v", s)
				}
			}
		}
		got := ids(t, d, store.Query{})
		s := d.Stats()
		if got[0] != open.ID || got[len(got)-1] != last || int(s.Evicted)+len(got) != 1001 || len(got) < 250 {
			t.Errorf("%d flows, the first %v; %+v", len(got), got[0], s)
		}
		for i, x := range got[1:] {
			if i > 0 && bytes.Compare(got[i][:], x[:]) > 0 {
				t.Fatal("not in order")
			}
		}
	})
}

// What the index takes counts.
func TestDiskRetentionOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := newDisk(t, store.DiskOptions{Dir: dir, MaxBytes: 4 << 20, SegmentSize: 64 << 10})
		for i := range 14_000 {
			put(t, d, someFlow(i, someConns(1), flow.BodyRef{}, flow.BodyRef{}))
			if i%1000 == 999 {
				ids(t, d, store.Query{By: store.BySize}) // has it filled
				time.Sleep(2 * time.Second)
			}
		}
		all, index := int64(0), int64(0)
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range names {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			all += info.Size()
			if strings.HasPrefix(e.Name(), "index.db") {
				index += info.Size()
			}
		}
		if s := d.Stats(); all > 4<<20 || s.Bytes != all || index < 256<<10 || s.Evicted == 0 || s.Flows == 0 {
			t.Errorf("%d bytes, %d of them the index; %+v", all, index, s)
		}
	})
}

func TestDiskAgeAndCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, o := range map[string]store.DiskOptions{"age": {MaxAge: time.Hour}, "count": {MaxFlows: 100}} {
			o.SegmentSize = 16 << 10
			d := newDisk(t, o)
			for i := range 1000 {
				put(t, d, someFlow(i, someConns(1), flow.BodyRef{}, flow.BodyRef{}))
				time.Sleep(20 * time.Second)
			}
			n := len(ids(t, d, store.Query{}))
			if n < 100 || n > 260 {
				t.Errorf("%s: %d flows are left", name, n)
			}
			d.Close()
		}
	})
}

// What is too old goes also where hardly anything comes, or nothing any more.
func TestDiskAgeInQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{MaxAge: 12 * time.Hour})
		defer d.Close()
		for i := range 200 {
			put(t, d, someFlow(i, someConns(1), flow.BodyRef{}, flow.BodyRef{}))
			time.Sleep(time.Hour)
		}
		if n := len(ids(t, d, store.Query{})); n < 11 || n > 15 {
			t.Errorf("%d flows are left", n)
		}
		time.Sleep(15 * time.Hour)
		if n := len(ids(t, d, store.Query{})); n != 0 {
			t.Errorf("%d flows are left, all too old", n)
		}
		put(t, d, someFlow(999, someConns(1), flow.BodyRef{}, flow.BodyRef{}))
		time.Sleep(time.Hour)
		if n := len(ids(t, d, store.Query{})); n != 1 {
			t.Errorf("%d flows, and one has come", n)
		}
	})
}

// What was under way when the process was killed is there, and has failed.
func TestDiskEndsWhatWasOpen(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, Lossless: true})
	w := d.NewBody()
	write(t, w, bytes.Repeat([]byte("x"), 100_000))
	put(t, d, httpFlow(id(1), 0, flow.Open, w.Ref()))
	ref := w.Ref()
	d.Close() // w was not
	d = newDisk(t, store.DiskOptions{Dir: dir})
	for f, err := range d.Flows(t.Context(), store.Query{}) {
		if err != nil || f.State != flow.Failed || f.Err == "" || f.Rev != 1 {
			t.Errorf("%+v, %v", f, err)
		}
	}
	if got, err := open(d, ref); err != nil || len(got) != 100_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if next := d.NewBody().Ref().Segment; next <= ref.Segment {
		t.Errorf("the number %d comes again", next)
	}
}

func logged(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// What is looked for is found at once, also when the store was closed and opened again,
// when the index is gone, and when flows are.
func TestDiskFind(t *testing.T) {
	dir := t.TempDir()
	x, err := filter.Parse(`~u item/1\d\d$`, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := newDisk(t, store.DiskOptions{Dir: dir})
	flows, _ := record(t, d, 500, 100)
	look := func(want int) {
		t.Helper()
		n := 0
		var last flow.ID
		for f, err := range d.Flows(t.Context(), store.Query{Filter: x}) {
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := x.Match(t.Context(), f, d); !ok || err != nil {
				t.Fatalf("found %v, %v", f, err)
			}
			if n++; n == 10 {
				last = f.ID
			}
		}
		rest := 0
		for _, err := range d.Flows(t.Context(), store.Query{Filter: x, After: last}) {
			if err != nil {
				t.Fatal(err)
			}
			rest++
		}
		if n != want || rest != want-10 {
			t.Errorf("%d flows, want %d; %d behind the tenth", n, want, rest)
		}
	}
	look(100)
	d.Delete(t.Context(), flows[150].ID)
	look(99)
	d.Close()
	d = newDisk(t, store.DiskOptions{Dir: dir})
	look(99)
	d.Close()
	if err := os.WriteFile(filepath.Join(dir, "index.db"), []byte("not an index"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = newDisk(t, store.DiskOptions{Dir: dir})
	look(99)
}

// An encrypted store has nothing to be read in its files, and is opened by its key alone.
func TestDiskEncrypted(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, Secret: []byte("correct horse battery staple")})
	flows, bodies := record(t, d, 50, 1000)
	d.Close()
	if _, err := store.OpenDisk(store.DiskOptions{Dir: dir}); err == nil {
		t.Fatal("it was opened without its key")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err != nil || bytes.Contains(b, []byte("shop.example")) {
			t.Errorf("%s can be read: %v", name, err)
		}
	}
	d = newDisk(t, store.DiskOptions{Dir: dir, Secret: []byte("correct horse battery staple")})
	same(t, d, flows, bodies)
}

// How far the index is behind is told: all of it at first, and nothing once it was asked.
func TestDiskBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{FS: disk.New(), SegmentSize: 64 << 10})
		record(t, d, 200, 1000)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := d.Stats()
		if s.Behind < 200 || s.BehindBytes < s.Bytes/2 || s.BehindBytes > s.Bytes || s.Unindexed {
			t.Errorf("nothing is indexed: %+v", s)
		}
		if n := len(ids(t, d, store.Query{By: store.BySize})); n != 200 {
			t.Errorf("%d flows", n)
		}
		if s := d.Stats(); s.Behind != 0 || s.BehindBytes != 0 {
			t.Errorf("all is indexed: %+v", s)
		}
		put(t, d, httpFlow(id(1), 1, flow.Done, flow.BodyRef{}))
		if err := d.Index(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := d.Stats(); s.Behind != 0 || s.Queued != 0 || s.Flows != 201 {
			t.Errorf("all is indexed once more: %+v", s)
		}
	})
}

// TestDiskOpenedForNothing: a store that is opened, and closed again, is as it was.
func TestDiskOpenedForNothing(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir})
	record(t, d, 10, 100)
	d.Close()
	before := segments(t, dir)
	for range 3 {
		newDisk(t, store.DiskOptions{Dir: dir}).Close()
	}
	if after := segments(t, dir); !slices.Equal(after, before) {
		t.Errorf("%q was there, %q is", before, after)
	}
}

// segments lists the files of the log, with times and sizes.
func segments(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(testnet.Listing(t, dir), func(s string) bool { return !strings.Contains(s, ".seg") })
}

// A file that does not begin as it should is said once, and as what it is: no crash has cut it short.
func TestDiskDamagedHeader(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir})
	record(t, d, 3, 100)
	d.Close()
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var log bytes.Buffer
		d := newDisk(t, store.DiskOptions{Dir: dir, Log: logged(&log)})
		if s := d.Stats(); s.Damaged != 1 {
			t.Errorf("%+v", s)
		}
		if d.Close(); bytes.Count(log.Bytes(), []byte("0000000001.seg")) != 1 || !bytes.Contains(log.Bytes(), []byte("a part of what is recorded can't be read, and is left out")) {
			t.Errorf("it says:\n%s", &log)
		}
	}
}
