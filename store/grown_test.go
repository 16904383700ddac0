package store_test

import (
	"bytes"
	"io"
	"slices"
	"testing"
	"testing/synctest"

	"transom/flow"
	"transom/internal/testnet/disk"
	"transom/store"
)

// TestDiskGrown: a flow that was under way has all of its body that was on disk, and not
// only what there was when the flow was put.
func TestDiskGrown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disk.New()
		d := newDisk(t, store.DiskOptions{FS: fs})
		p := bytes.Repeat([]byte("grows "), 50_000)
		w := d.NewBody()
		write(t, w, p[:10])
		put(t, d, httpFlow(id(1), 1, flow.Open, w.Ref()))
		write(t, w, p[10:])
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := fs.Crash(disk.None, nil)
		for range 2 { // the second time it was written when it was opened
			d := newDisk(t, store.DiskOptions{FS: after})
			var f *flow.Flow
			for one, err := range d.Flows(t.Context(), store.Query{}) {
				if f = one; err != nil {
					t.Fatal(err)
				}
			}
			ref := f.Detail.(*flow.HTTP).ResponseBody
			if f.State != flow.Failed || ref.Size != int64(len(p)) || ref.Kept != ref.Size {
				t.Errorf("%v, %+v, want %d bytes", f.State, ref, len(p))
			}
			if got, err := open(d, ref); err != nil || !bytes.Equal(got, p) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			d.Close()
		}
	})
}

// TestDiskNumbersOnce: a body never has the number of one that a crash has left a flow
// of, though nothing of its bytes: who deletes that flow would delete the body.
func TestDiskNumbersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disk.New()
		number := func(d *store.Disk, n int, state flow.State) uint64 {
			w := d.NewBody()
			write(t, w, []byte("of some length"))
			put(t, d, httpFlow(id(n), 1, state, w.Ref()))
			if state == flow.Done {
				w.Close()
			}
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			return w.Ref().Segment
		}
		last := uint64(0)
		for i, state := range []flow.State{flow.Open, flow.Done, flow.Done, flow.Open, flow.Open, flow.Done} {
			n := number(newDisk(t, store.DiskOptions{FS: fs}), i, state)
			if n < last+1<<20 {
				t.Errorf("opening %d: number %d after %d", i, n, last) // what the next numbers were may have been lost
			}
			last = n
			fs = fs.Crash(disk.None, nil)
		}
	})
}

// TestDiskOrphans: a state of a flow whose connection a crash has taken counts all the same,
// unless there is an earlier one that has its own.
func TestDiskOrphans(t *testing.T) {
	hello := bytes.Repeat([]byte("hello "), 80)
	conn := someConns(1)[0]
	conn.Layers[0].TLS.Hello = hello
	for name, c := range map[string]struct {
		between int // bytes of a body, so that the later state is in another segment, with a connection of its own
		rev     uint32
		state   flow.State
	}{
		"none has one":        {0, 2, flow.Done},
		"the first state has": {100_000, 3, flow.Failed}, // it was under way, and what is left out is not to come back
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fs, one := disk.New(), id(1)
				d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 32 << 10})
				state := func(rev uint32, state flow.State) {
					f := httpFlow(one, rev, state, flow.BodyRef{})
					f.Conn = conn
					put(t, d, f)
					if err := d.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				state(0, flow.Open)
				w := d.NewBody()
				write(t, w, make([]byte, c.between))
				put(t, d, httpFlow(id(2), 0, flow.Done, w.Ref()))
				w.Close()
				if err := d.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				state(2, flow.Done)
				fs = fs.Kill()
				damageLast(t, fs, hello)
				d = newDisk(t, store.DiskOptions{FS: fs})
				for f, err := range d.Flows(t.Context(), store.Query{Limit: 1}) {
					if err != nil || f.ID != one || f.Rev != c.rev || f.State != c.state {
						t.Errorf("%+v, %v; want revision %d, %v", f, err, c.rev, c.state)
					}
				}
			})
		})
	}
}

// damageLast changes the last file that has some bytes, there.
func damageLast(t *testing.T, fs *disk.Disk, what []byte) {
	t.Helper()
	names, err := fs.List()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		f, err := fs.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<30))
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, what); at >= 0 {
			if _, err := f.WriteAt([]byte("?"), int64(at)); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no file has %q", what)
}

// TestCurrent: a flow under way is told of with its bodies as they are by now, and what was Put
// stays as it was.
func TestCurrent(t *testing.T) {
	stores := map[string]store.Store{"memory": store.NewMemory(store.MemoryOptions{}), "disk": newDisk(t, store.DiskOptions{})}
	for name, s := range stores {
		for _, written := range []bool{false, true} {
			sent, log := s.NewBody(), s.NewBody()
			write(t, sent, []byte("some"))
			write(t, log, []byte("some"))
			original := sent.Ref()
			exchange := httpFlow(id(1), 1, flow.Open, sent.Ref())
			exchange.Detail.(*flow.HTTP).OriginalResponseBody = &original
			messages := &flow.Flow{ID: id(2), Rev: 1, Detail: &flow.Messages{Kind: "tcp", Log: log.Ref()}}
			put(t, s, exchange)
			put(t, s, messages)
			if d, ok := s.(*store.Disk); ok && written {
				if err := d.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			write(t, sent, []byte(" more"))
			write(t, log, []byte(" more"))
			for _, q := range []store.Query{{}, {Descending: true}} {
				var sizes []int64
				for f, err := range s.Flows(t.Context(), q) {
					if err != nil {
						t.Fatal(err)
					}
					switch d := f.Detail.(type) {
					case *flow.HTTP:
						sizes = append(sizes, d.ResponseBody.Kept, d.OriginalResponseBody.Size)
					case *flow.Messages:
						sizes = append(sizes, d.Log.Kept)
					}
				}
				if !slices.Equal(sizes, []int64{9, 9, 9}) {
					t.Errorf("%s, %v, %+v: %d", name, written, q, sizes)
				}
			}
			if h := exchange.Detail.(*flow.HTTP); h.ResponseBody.Kept != 4 || original.Kept != 4 || messages.Detail.(*flow.Messages).Log.Kept != 4 {
				t.Errorf("%s: what was put is %+v, %+v now", name, h, messages.Detail)
			}
			if err := s.Delete(t.Context(), exchange.ID, messages.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
