package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/testnet/disk"
	"transom/store"
)

// image is a large body, the same for the same seed.
func image(seed byte, size int) []byte {
	p := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(p)
	return p
}

// download records that somebody gets an image.
func download(d store.Store, i int, p []byte) (*flow.Flow, error) {
	w := d.NewBody()
	defer w.Close()
	f := someFlow(i, someConns(1), flow.BodyRef{}, w.Ref())
	open := *f
	open.Rev, open.State = 0, flow.Open
	if err := d.Put(context.Background(), &open); err != nil {
		return nil, err
	}
	for left := p; len(left) > 0; left = left[min(len(left), 20_000):] {
		w.Write(left[:min(len(left), 20_000)])
	}
	f = someFlow(i, someConns(1), flow.BodyRef{}, w.Ref())
	f.ID = open.ID
	return f, d.Put(context.Background(), f)
}

func downloaded(t *testing.T, from interface {
	OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error)
}, flows []*flow.Flow, p []byte,
) {
	t.Helper()
	for i, f := range flows {
		r, err := from.OpenBody(t.Context(), f.Detail.(*flow.HTTP).ResponseBody)
		if err == nil {
			err = sameBody(r, p)
		}
		if err != nil {
			t.Fatalf("of %d, %d: %v", len(flows), i, err)
		}
	}
}

// An image that twenty get is kept once, whoever of them stays; who reads it meanwhile does not
// notice, nor who reads the directory beside.
func TestDiskLargeBodiesOnce(t *testing.T) {
	const ageKey = "AGE-SECRET-KEY-1X9KP3TVDL9ZKR7XCCUURF5JZPXDQW7TKGP055R3DML3YFSU03J4SHX5X52"
	for _, o := range []store.DiskOptions{{FS: disk.New()}, {FS: disk.New(), Secret: []byte(ageKey)}, {Dir: t.TempDir()}} {
		o.SegmentSize = 1 << 20
		d := newDisk(t, o)
		p := image(1, 700_000)
		var flows []*flow.Flow
		for i := range 20 {
			f, err := download(d, i, p)
			if err != nil {
				t.Fatal(err)
			}
			if flows = append(flows, f); i == 9 { // it is known again
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				d = newDisk(t, o)
			}
		}
		record(t, d, 200, 4000)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		half, err := d.OpenBody(t.Context(), flows[0].Detail.(*flow.HTTP).ResponseBody)
		if err != nil {
			t.Fatal(err)
		}
		begin := make([]byte, 300_001)
		if _, err := io.ReadFull(half, begin); err != nil {
			t.Fatal(err)
		}
		beside, err := store.OpenDiskReader(o)
		if err != nil {
			t.Fatal(err)
		}
		full := d.Stats().Bytes
		if err := d.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		downloaded(t, d, flows, p)
		downloaded(t, beside, flows, p)
		rest, err := io.ReadAll(half)
		if err != nil || !bytes.Equal(append(begin, rest...), p) {
			t.Fatalf("%d bytes more: %v", len(rest), err)
		}
		s := d.Stats()
		if full-s.Bytes < 12_000_000 || s.Shared < 12_000_000 {
			t.Errorf("%d bytes before: %+v", full, s)
		}
		if err := beside.Close(); err != nil {
			t.Fatal(err)
		}
		if beside, err = store.OpenDiskReader(o); err != nil {
			t.Fatal(err)
		}
		for err := range beside.Check(t.Context()) {
			t.Error(err)
		}
		if now, err := beside.Stats(); err != nil || now.Shared < 12_000_000 || now.Shared > 19*700_000 {
			t.Errorf("whoever reads finds %+v, %v", now, err)
		}
		if err := beside.Close(); err != nil {
			t.Fatal(err)
		}
		for len(flows) > 1 { // the newest goes, which has the bytes
			deleteAll(t, d, flows[len(flows)-1:])
			flows = flows[:len(flows)-1]
			if len(flows)%5 == 0 {
				d.Close()
				d = newDisk(t, o)
			}
			if err := d.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			downloaded(t, d, flows, p)
		}
		deleteAll(t, d, flows)
		if err := d.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := d.Stats().Bytes; left > s.Bytes-500_000 {
			t.Errorf("nobody has it, and of %d bytes there are %d", s.Bytes, left)
		}
		d.Close()
	}
}

// When the oldest files go, what others need stays; one that comes again and again is
// united again and again.
func TestDiskLargeBodiesRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{FS: disk.New(), SegmentSize: 512 << 10, MaxAge: 24 * time.Hour})
		p := image(2, 400_000)
		var flows []*flow.Flow
		for i := range 100 {
			f, err := download(d, i, p)
			if err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
			time.Sleep(time.Hour)
			got := ids(t, d, store.Query{})
			if i > 30 && (len(got) < 20 || len(got) > 40) {
				t.Fatalf("%d flows are left of %d", len(got), i)
			}
			downloaded(t, d, flows[len(flows)-len(got):], p)
			if s := d.Stats(); s.Bytes > 10*400_000 {
				t.Fatalf("%d flows, %+v", len(got), s)
			}
		}
	})
}

// TestDiskLargeBodiesPowerCut cuts the power at every step of a life in which bodies are
// united.
func TestDiskLargeBodiesPowerCut(t *testing.T) {
	p := image(3, 70_000)
	life := func(fs *disk.Disk) (owed []*flow.Flow, saved int64, err error) {
		for range 2 {
			d, err := store.OpenDisk(store.DiskOptions{FS: fs, SegmentSize: 100_000, Grace: time.Millisecond})
			if err != nil {
				return owed, saved, err
			}
			for i := range 6 {
				f, err := download(d, i, p)
				if err == nil {
					err = d.Sync(context.Background())
				}
				if err == nil {
					owed = append(owed, f)
				}
				if err == nil && i%3 == 2 {
					err = d.Compact(context.Background())
				}
				if err != nil {
					return owed, saved, errors.Join(err, d.Close())
				}
			}
			saved += d.Stats().Shared
			if err := d.Close(); err != nil {
				return owed, saved, err
			}
		}
		return owed, saved, nil
	}
	whole := disk.New()
	if _, saved, err := life(whole); err != nil || saved < 5*70_000 {
		t.Fatal(saved, err)
	}
	t.Logf("%d steps", whole.Steps())
	for n := 1; n <= whole.Steps(); n++ {
		for what := range 3 {
			fs := disk.New()
			fs.CutAt = n
			owed, _, _ := life(fs) // it fails, since there is no power
			d, err := store.OpenDisk(store.DiskOptions{FS: fs.Crash(what, rand.New(rand.NewPCG(uint64(n), uint64(what))))})
			if err != nil {
				t.Fatalf("cut in step %d: %v", n, err)
			}
			downloaded(t, d, owed, p)
			if err := d.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			downloaded(t, d, owed, p)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestDiskLargeBodiesSyncFails: where the system could not put on disk the newest of equal
// bodies just before older ones are to be where that is, these stay as they are.
func TestDiskLargeBodiesSyncFails(t *testing.T) {
	p := image(4, 70_000)
	for n := 1; n < 20; n++ {
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			fs.SyncFail = n
			d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 100_000})
			var flows []*flow.Flow
			for i := range 9 {
				f, err := download(d, i, p)
				if err != nil {
					t.Fatal(err)
				}
				flows = append(flows, f)
				time.Sleep(syncs / 16) // it is written, and mostly not synced
				if i%3 == 1 {
					if err := d.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if i%3 == 2 {
					if err := d.Compact(t.Context()); err != nil && !errors.Is(err, syscall.EIO) {
						t.Fatal(err)
					}
				}
			}
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			d = newDisk(t, store.DiskOptions{FS: fs.Crash(disk.None, nil)})
			downloaded(t, d, flows, p)
		})
	}
}
