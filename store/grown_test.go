package store_test

import (
	"bytes"
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
