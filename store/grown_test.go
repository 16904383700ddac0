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
