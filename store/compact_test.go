package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/testnet/disk"
	"transom/store"
)

// deleteAll deletes flows, and has that written.
func deleteAll(t *testing.T, d *store.Disk, flows []*flow.Flow) {
	t.Helper()
	for _, f := range flows {
		if err := d.Delete(t.Context(), f.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What is deleted gives its room back, and what is left stays as it is.
func TestDiskCompact(t *testing.T) {
	for _, secret := range []string{"", "a long passphrase"} {
		o := store.DiskOptions{FS: disk.New(), SegmentSize: 64 << 10, Secret: []byte(secret)}
		d := newDisk(t, o)
		flows, bodies := record(t, d, 1000, 4000)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		full := d.Stats().Bytes
		keep := func(f *flow.Flow) bool { return slices.Index(flows, f)%10 == 0 }
		dead := slices.DeleteFunc(slices.Clone(flows), keep)
		deleteAll(t, d, dead)
		if err := d.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		left := slices.DeleteFunc(slices.Clone(flows), func(f *flow.Flow) bool { return !keep(f) })
		same(t, d, left, bodies)
		s := d.Stats()
		t.Logf("%d bytes, then %d: %+v", full, s.Bytes, s)
		if s.Bytes > full/3 || s.Compacted == 0 || s.Reclaimed < full/2 {
			t.Errorf("%d bytes before: %+v", full, s)
		}
		for range 2 {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = newDisk(t, o)
			same(t, d, left, bodies)
			if err := d.Compact(t.Context()); err != nil {
				t.Fatal(err)
			}
			same(t, d, left, bodies)
		}
		deleteAll(t, d, left)
		if err := d.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.Close()
		d = newDisk(t, o)
		same(t, d, nil, nil)
		if s := d.Stats(); s.Bodies != 0 || s.Bytes > full/20 {
			t.Errorf("nothing is left: %+v", s)
		}
		d.Close()
	}
}

// A body that another flow has, too, stays when the first is deleted, also when it is
// found in the log alone.
func TestDiskCompactSharedBody(t *testing.T) {
	o := store.DiskOptions{FS: disk.New(), SegmentSize: 16 << 10}
	d := newDisk(t, o)
	conns := someConns(1)
	var flows []*flow.Flow
	for n := range 200 {
		f, err := recordOne(d, conns, 5*(n%2)) // all of two bodies
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
		if n%5 == 4 {
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	owed := map[flow.ID]int{}
	var dead []*flow.Flow
	for n, f := range flows {
		if n%8 > 5 {
			owed[f.ID] = 5 * (n % 2)
		} else {
			dead = append(dead, f)
		}
	}
	deleteAll(t, d, dead)
	for range 3 {
		if err := d.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := checkOwed(d, owed); err != nil {
			t.Fatal(err)
		}
		d.Close()
		d = newDisk(t, o)
	}
	if s := d.Stats(); s.Flows != len(owed) {
		t.Errorf("%d flows are owed: %+v", len(owed), s)
	}
}

// It goes by bytes: a few large bodies give their room back though most flows stay, also
// when what was deleted was not yet looked at when the store is opened again.
func TestDiskCompactLargeBodies(t *testing.T) {
	o := store.DiskOptions{FS: disk.New(), SegmentSize: 1 << 20}
	d := newDisk(t, o)
	conns := someConns(2)
	owed := map[flow.ID]int{}
	var large []*flow.Flow
	for n := 1; n <= 300; n++ {
		f, err := recordOne(d, conns, n)
		if err != nil {
			t.Fatal(err)
		}
		owed[f.ID] = n
		if n%100 == 0 {
			w := d.NewBody()
			write(t, w, make([]byte, 1_500_000))
			big := someFlow(1000+n, conns, flow.BodyRef{}, w.Ref())
			put(t, d, big)
			w.Close()
			large = append(large, big)
		}
	}
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	full := d.Stats().Bytes
	deleteAll(t, d, large)
	d.Close()
	d = newDisk(t, o)
	if err := errors.Join(d.Compact(t.Context()), checkOwed(d, owed)); err != nil {
		t.Fatal(err)
	}
	if s := d.Stats(); full-s.Bytes < 4_000_000 {
		t.Errorf("%d bytes before: %+v", full, s)
	}
}

// What a long exchange has said of itself goes when it has said more.
func TestDiskCompactStates(t *testing.T) {
	d := newDisk(t, store.DiskOptions{FS: disk.New(), SegmentSize: 64 << 10})
	f := someFlow(1, someConns(1), flow.BodyRef{}, flow.BodyRef{})
	for range 2000 {
		next := *f
		next.Rev++
		f = &next
		put(t, d, f)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	full := d.Stats().Bytes
	if err := d.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, d, []*flow.Flow{f}, nil)
	if s := d.Stats(); s.Bytes > 128<<10 || full < 2*s.Bytes {
		t.Errorf("%d bytes before: %+v", full, s)
	}
}

// Nobody has to ask for it: it is done behind what is recorded, and ends with the store.
func TestDiskCompactsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{FS: disk.New(), SegmentSize: 64 << 10})
		flows, bodies := record(t, d, 1000, 4000)
		w := d.NewBody() // goes on all the time
		defer w.Close()
		under := httpFlow(id(7777), 0, flow.Open, w.Ref())
		put(t, d, under)
		write(t, w, make([]byte, 300_000))
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		full := d.Stats().Bytes
		deleteAll(t, d, flows[:990])
		time.Sleep(2 * time.Minute)
		if s := d.Stats(); s.Bytes > full/2 {
			t.Errorf("%d bytes before: %+v", full, s)
		}
		if got, err := open(d, w.Ref()); err != nil || len(got) != 300_000 {
			t.Errorf("of the body that is being written there are %d bytes: %v", len(got), err)
		}
		if err := d.Delete(t.Context(), under.ID); err != nil {
			t.Fatal(err)
		}
		same(t, d, flows[990:], bodies)
	})
}

// What waits to be written goes first.
func TestDiskCompactGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disk.New()
		d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 64 << 10, Queue: 8 << 20})
		flows, _ := record(t, d, 400, 4000)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		deleteAll(t, d, flows)
		fs.Set(func(fs *disk.Disk) { fs.Room = 1 })
		record(t, d, 400, 4000)
		time.Sleep(3 * time.Minute)
		if s := d.Stats(); s.Queued < 2<<20 || s.Compacted != 0 {
			t.Errorf("%+v", s)
		}
		fs.Set(func(fs *disk.Disk) { fs.Room = 0 })
		time.Sleep(3 * time.Minute)
		if s := d.Stats(); s.Queued != 0 || s.Compacted == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// tidyLife is a life in which room is given back. gone gets what is deleted for good.
func tidyLife(fs *disk.Disk, owed map[flow.ID]int, gone map[flow.ID]bool) error {
	return lives(2, store.DiskOptions{FS: fs, SegmentSize: 8 << 10}, func(d *store.Disk, record func(n int) (map[flow.ID]int, error)) error {
		for range 2 {
			fresh, err := record(12)
			if err == nil {
				err = d.Sync(context.Background())
			}
			if err != nil {
				return err
			}
			maps.Copy(owed, fresh)
			var dead []flow.ID
			for id, n := range owed {
				if n%4 != 0 {
					dead = append(dead, id)
					delete(owed, id)
				}
			}
			slices.SortFunc(dead, func(a, b flow.ID) int { return slices.Compare(a[:], b[:]) })
			if err := d.Delete(context.Background(), dead...); err != nil {
				return err
			}
			if err := d.Compact(context.Background()); err != nil {
				return err
			}
			if err := d.Sync(context.Background()); err != nil {
				return err
			}
			for _, id := range dead {
				gone[id] = true
			}
		}
		return nil
	})
}

// compacted reports whether a file says so of itself.
func compacted(t *testing.T, fs *disk.Disk, name string) bool {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 12)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b[10]&2 != 0
}

// TestDiskCompactPowerCut cuts the power at every step of a life in which room is given
// back: all that was synced is there, and nothing comes back.
func TestDiskCompactPowerCut(t *testing.T) {
	whole := disk.New()
	if err := tidyLife(whole, map[flow.ID]int{}, map[flow.ID]bool{}); err != nil {
		t.Fatal(err)
	}
	steps := whole.Steps()
	t.Logf("%d steps", steps)
	names, err := whole.List()
	if err != nil || !slices.ContainsFunc(names, func(name string) bool { return compacted(t, whole, name) }) {
		t.Fatalf("nothing was written anew: %v, %v", names, err)
	}
	for n := 1; n <= steps; n++ {
		for what := range 4 {
			fs := disk.New()
			fs.CutAt = n
			owed, gone := map[flow.ID]int{}, map[flow.ID]bool{}
			_ = tidyLife(fs, owed, gone) // it fails, since there is no power
			d, err := store.OpenDisk(store.DiskOptions{FS: fs.Crash(min(what, disk.Some), rand.New(rand.NewPCG(uint64(n), uint64(what))))})
			if err != nil {
				t.Fatalf("cut in step %d: %v", n, err)
			}
			err = checkOwed(d, owed)
			for id := range d.Flows(context.Background(), store.Query{}) {
				if gone[id.ID] {
					err = errors.Join(err, errors.New("a deleted flow has come back"))
				}
			}
			if err := errors.Join(err, d.Compact(context.Background()), checkOwed(d, owed), d.Close()); err != nil {
				t.Fatalf("cut in step %d, of the rest there is %d: %v", n, what, err)
			}
		}
	}
}

// What an outline tells of, and can't be read, comes not back when the tombstone for it goes.
func TestDiskCompactDamaged(t *testing.T) {
	dir := t.TempDir()
	o := store.DiskOptions{Dir: dir, SegmentSize: 64 << 10}
	d := newDisk(t, o)
	first := httpFlow(id(1), 0, flow.Done, flow.BodyRef{})
	first.Detail.(*flow.HTTP).Request.Target = "/find-me"
	put(t, d, first)
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, _ := record(t, d, 40, 4000)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = newDisk(t, o) // which begins a segment
	ended := *first   // and has changed since
	ended.Rev = 1
	put(t, d, &ended)
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	deleteAll(t, d, []*flow.Flow{&ended})
	w := d.NewBody()
	dead := httpFlow(id(2), 1, flow.Done, w.Ref())
	put(t, d, dead)
	write(t, w, bytes.Repeat([]byte("dead"), 50_000))
	w.Close()
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	deleteAll(t, d, []*flow.Flow{dead})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	at := bytes.Index(b, []byte("/find-me"))
	if err != nil || at < 0 {
		t.Fatal(at, err)
	}
	b[at] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d := newDisk(t, o)
		if err := d.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range d.Flows(t.Context(), store.Query{}) {
			if n++; err != nil {
				t.Error(err)
			}
		}
		if n != len(kept) {
			t.Errorf("%d flows, want %d", n, len(kept))
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
