package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/testnet/disk"
	"transom/store"
	"transom/store/segment"
	"transom/store/wire"
)

// bodyOf is the n-th body: anybody can tell what it has to be.
func bodyOf(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, r.IntN(4000))
	if n%50 == 0 {
		b = make([]byte, 200_000) // of several chunks
	}
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	if n%5 == 0 {
		b = bytes.Repeat([]byte{byte(n % 10)}, 3000) // that comes again
	}
	return b
}

// recordOne puts the n-th flow with its body, and returns it.
func recordOne(d store.Store, conns []*flow.Conn, n int) (*flow.Flow, error) {
	w := d.NewBody()
	defer w.Close()
	f := someFlow(n, conns, flow.BodyRef{}, w.Ref())
	open := *someFlow(n, conns, flow.BodyRef{}, w.Ref()) // what is Put must not change
	open.ID, open.Rev, open.State, open.End = f.ID, 0, flow.Open, time.Time{}
	if err := d.Put(context.Background(), &open); err != nil {
		return nil, err
	}
	for b := bodyOf(n); len(b) > 0; b = b[min(len(b), 1500):] {
		w.Write(b[:min(len(b), 1500)])
	}
	f.Detail.(*flow.HTTP).ResponseBody = w.Ref()
	return f, d.Put(context.Background(), f)
}

// checkOne says what is wrong with the n-th flow.
func checkOne(d store.Store, f *flow.Flow, n int) error {
	h := f.Detail.(*flow.HTTP)
	if f.State != flow.Done || h.Request.Target != fmt.Sprintf("/item/%d", n) || len(h.Request.Header) != 1 || f.Conn == nil {
		return fmt.Errorf("it is %+v of %+v", h.Request, f.Conn)
	}
	if got, err := open(d, h.ResponseBody); err != nil || !bytes.Equal(got, bodyOf(n)) {
		return fmt.Errorf("its body has %d bytes, %v, want %d", len(got), err, len(bodyOf(n)))
	}
	return nil
}

// checkOwed says what of what was synced is not there.
func checkOwed(d store.Store, owed map[flow.ID]int) error {
	missing := maps.Clone(owed)
	for f, err := range d.Flows(context.Background(), store.Query{}) {
		if err != nil {
			return err
		}
		if n, ok := owed[f.ID]; ok {
			if err := checkOne(d, f, n); err != nil {
				return fmt.Errorf("flow %d: %w", n, err)
			}
		}
		delete(missing, f.ID)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of %d flows are missing: %v", len(missing), len(owed), missing)
	}
	return nil
}

// writeForEver records until it is killed, and says on stdout what is synced.
func writeForEver(dir string) error {
	d, err := store.OpenDisk(store.DiskOptions{Dir: dir, SegmentSize: 64 << 10})
	if err != nil {
		return err
	}
	conns := someConns(3)
	for n := rand.IntN(1 << 30); ; {
		var line bytes.Buffer
		for range 1 + rand.IntN(8) {
			f, err := recordOne(d, conns, n)
			if err != nil {
				return err
			}
			fmt.Fprintf(&line, "%s %d\n", f.ID, n)
			n++
		}
		if err := d.Sync(context.Background()); err != nil {
			return err
		}
		if _, err := os.Stdout.Write(line.Bytes()); err != nil {
			return err
		}
	}
}

// TestDiskKilled kills the writer 200 times, and looks for what it has called synced.
func TestDiskKilled(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	total := 0
	for range 10 {
		dir := t.TempDir()
		owed := map[flow.ID]int{}
		for range 20 {
			killed(t, dir, owed, chance)
			d, err := store.OpenDisk(store.DiskOptions{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(checkOwed(d, owed), d.Close()); err != nil {
				t.Fatal(err)
			}
		}
		total += len(owed)
	}
	t.Logf("%d flows were synced", total)
}

// killed starts a writer, kills it, and keeps account of what it said.
func killed(t *testing.T, dir string, owed map[flow.ID]int, chance *rand.Rand) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), actVariable+"="+dir)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	left := 1 + chance.IntN(25)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var text string
		var n int
		if _, err := fmt.Sscan(lines.Text(), &text, &n); err != nil {
			break // cut short by the kill
		}
		id, err := flow.ParseID(text)
		if err != nil {
			break
		}
		owed[id] = n
		if left--; left == 0 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if left > 0 {
		t.Fatalf("the writer has ended by itself: %s", &said)
	}
}

// life is what a store goes through, on a disk whose power is cut: it is recorded,
// deleted, closed, opened again. owed gets what is synced.
func life(fs *disk.Disk, owed map[flow.ID]int) error {
	return lives(3, store.DiskOptions{FS: fs, SegmentSize: 16 << 10}, func(d *store.Disk, record func(n int) (map[flow.ID]int, error)) error {
		for range 4 {
			fresh, err := record(4)
			if err != nil {
				return err
			}
			for id := range owed {
				delete(owed, id)
				if err := d.Delete(context.Background(), id); err != nil {
					return err
				}
				break
			}
			if err := d.Sync(context.Background()); err != nil {
				return err
			}
			maps.Copy(owed, fresh)
		}
		return nil
	})
}

// lives opens and closes a store some times, and has it used each time. record records some flows.
func lives(times int, o store.DiskOptions, use func(d *store.Disk, record func(n int) (map[flow.ID]int, error)) error) error {
	conns, last := someConns(2), 0
	o.Grace = time.Millisecond
	for range times {
		d, err := store.OpenDisk(o)
		if err != nil {
			return err
		}
		err = use(d, func(n int) (map[flow.ID]int, error) {
			fresh := map[flow.ID]int{}
			for range n {
				last++
				f, err := recordOne(d, conns, last)
				if err != nil {
					return nil, err
				}
				fresh[f.ID] = last
			}
			return fresh, nil
		})
		if err := errors.Join(err, d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// TestDiskPowerCut cuts the power at every step of a store's life, and looks whether
// all that was synced is there.
func TestDiskPowerCut(t *testing.T) {
	whole := disk.New()
	if err := life(whole, map[flow.ID]int{}); err != nil {
		t.Fatal(err)
	}
	steps := whole.Steps()
	t.Logf("%d steps", steps)
	if steps < 100 {
		t.Fatalf("only %d steps", steps)
	}
	for n := 1; n <= steps; n++ {
		for what := range 4 {
			fs := disk.New()
			fs.CutAt = n
			owed := map[flow.ID]int{}
			_ = life(fs, owed) // it fails, since there is no power
			d, err := store.OpenDisk(store.DiskOptions{FS: fs.Crash(min(what, disk.Some), rand.New(rand.NewPCG(uint64(n), uint64(what))))})
			if err != nil {
				t.Fatalf("cut in step %d: %v", n, err)
			}
			if err := errors.Join(checkOwed(d, owed), d.Close()); err != nil {
				t.Fatalf("cut in step %d, of the rest there is %d: %v", n, what, err)
			}
		}
	}
}

// TestDiskSyncFails: what the system can't put on disk once is written again, and
// survives a power cut; nothing of it is counted as lost.
func TestDiskSyncFails(t *testing.T) {
	again := 0
	for n := 1; n < 30; n++ {
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			var log bytes.Buffer
			d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 32 << 10, Log: logged(&log)})
			conns := someConns(3)
			owed := map[flow.ID]int{}
			fs.Set(func(fs *disk.Disk) { fs.SyncFail = n })
			long := d.NewBody()
			text := bytes.Repeat([]byte("0123456789"), 20_000)
			for i := range 40 {
				write(t, long, text[i*5000:(i+1)*5000])
				f, err := recordOne(d, conns, i)
				if err != nil {
					t.Fatal(err)
				}
				owed[f.ID] = i
				if i%2 == 0 {
					time.Sleep(syncs)
				}
			}
			put(t, d, httpFlow(id(1), 1, flow.Done, long.Ref()))
			ref := long.Ref()
			long.Close()
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(log.Bytes(), []byte("written again")) {
				again++ // a sync that seals may have nothing to lose
			}
			if s := d.Stats(); s.Unsynced != 0 {
				t.Errorf("sync %d: %+v\n%s", n, s, &log)
			}
			if err := checkOnce(fs); err != nil {
				t.Errorf("sync %d: %v", n, err)
			}
			for _, what := range []int{disk.None, disk.All} { // with one copy, and with both
				d := newDisk(t, store.DiskOptions{FS: fs.Crash(what, nil)})
				if err := checkOwed(d, owed); err != nil {
					t.Errorf("sync %d: %v", n, err)
				}
				if b, err := open(d, ref); err != nil || !bytes.Equal(b, text) {
					t.Errorf("sync %d: %d bytes of %d, %v", n, len(b), len(text), err)
				}
				d.Close()
			}
		})
	}
	if again < 15 {
		t.Errorf("%d of them had something written again", again)
	}
}

// checkOnce says which state of a flow stands in two segments.
func checkOnce(fs *disk.Disk) error {
	log, err := segment.OpenReader(segment.Options{FS: fs})
	if err != nil {
		return err
	}
	defer log.Close()
	seen := map[string]segment.Position{}
	for at, err := range log.Scan(context.Background(), segment.Position{}) {
		if err != nil {
			return err
		}
		if at.Kind != wire.KindFlow {
			continue
		}
		id, rev, _, err := wire.ReadState(at.Payload)
		if err != nil {
			return err
		}
		state := fmt.Sprint(id, " ", rev)
		if first, ok := seen[state]; ok && first.Segment != at.Segment {
			return fmt.Errorf("%v and %v are the same", first, at.Position)
		}
		seen[state] = at.Position
	}
	return nil
}

// TestDiskSyncFailsUnderWay: of a body under way what was written again is what the next
// process goes by, not what it finds where the system has nothing on disk.
func TestDiskSyncFailsUnderWay(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10_000)
	for n := range 8 {
		n, apart := 1+n/2, n%2 == 1 // parts that follow what is written again may stand before it
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			fs.SyncFail = n
			d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 32 << 10})
			w := d.NewBody()
			for range 3 {
				write(t, w, text)
				put(t, d, httpFlow(id(1), 0, flow.Open, w.Ref()))
				time.Sleep(syncs / 5) // it is written
				if apart {
					continue
				}
				if err := d.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			ref := w.Ref()
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := newDisk(t, store.DiskOptions{FS: fs}).Close(); err != nil {
				t.Fatal(err)
			}
			d = newDisk(t, store.DiskOptions{FS: fs.Crash(disk.None, nil)})
			if b, err := open(d, ref); err != nil || len(b) != 3*len(text) {
				t.Errorf("sync %d: %d bytes of %d, %v", n, len(b), 3*len(text), err)
			}
		})
	}
}

// TestDiskSyncFailsApart: in segments that hold almost nothing connections, and their hellos,
// stand apart from flows; these are written again with them.
func TestDiskSyncFailsApart(t *testing.T) {
	for n := 1; n < 60; n++ {
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			fs.SyncFail = n
			d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 600})
			conns := someConns(5)
			for i := range 20 {
				put(t, d, someFlow(i, conns, flow.BodyRef{}, flow.BodyRef{}))
				if err := d.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			d = newDisk(t, store.DiskOptions{FS: fs.Crash(disk.None, nil)})
			for f, err := range d.Flows(t.Context(), store.Query{}) {
				if err != nil {
					t.Fatal(err)
				}
				if len(f.Conn.Layers) != 1 || len(f.Conn.Layers[0].TLS.Hello) != 500 {
					t.Errorf("sync %d: flow %v has lost its connection", n, f.ID)
				}
			}
		})
	}
}

// TestDiskSyncFailsKilled: where the process ended after the system could not put on disk what was recorded,
// before or after it was written again, the next one finds all, and has it on disk.
func TestDiskSyncFailsKilled(t *testing.T) {
	for n := 1; n < 12; n++ {
		for more := range 12 {
			synctest.Test(t, func(t *testing.T) {
				fs := disk.New()
				fs.SyncFail = n
				d, err := store.OpenDisk(store.DiskOptions{FS: fs, SegmentSize: 8 << 10, Grace: time.Millisecond})
				if err != nil {
					t.Fatal(err)
				}
				conns := someConns(2)
				owed := map[flow.ID]int{}
				for i := 1; fs.Syncs() < n && i < 30; i++ {
					f, err := recordOne(d, conns, i)
					if err != nil {
						t.Fatal(err)
					}
					if fs.Syncs() == n-1 { // what is written again is cut in each step
						cut := fs.Steps() + more
						fs.Set(func(fs *disk.Disk) { fs.CutAt = cut })
					}
					if err := d.Sync(t.Context()); err == nil {
						owed[f.ID] = i
					}
				}
				killed := fs.Kill()
				d.Close()
				d = newDisk(t, store.DiskOptions{FS: killed})
				for f, err := range d.Flows(t.Context(), store.Query{}) {
					if err != nil {
						t.Fatal(err)
					}
					if f.State == flow.Done {
						var i int
						fmt.Sscanf(f.Detail.(*flow.HTTP).Request.Target, "/item/%d", &i)
						owed[f.ID] = i
					}
				}
				d = newDisk(t, store.DiskOptions{FS: killed.Crash(disk.None, nil)})
				if err := checkOwed(d, owed); err != nil {
					t.Errorf("sync %d, and %d steps more: %v", n, more, err)
				}
			})
		}
	}
}

// TestDiskOpenSyncFails: where what was recorded can't be put on disk when the store is opened, all of it is read,
// and written again.
func TestDiskOpenSyncFails(t *testing.T) {
	for _, bad := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			d, err := store.OpenDisk(store.DiskOptions{FS: fs, Grace: time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			conns := someConns(2)
			owed, synced := map[flow.ID]int{}, map[flow.ID]int{}
			for n := range 20 {
				f, err := recordOne(d, conns, n)
				if err != nil {
					t.Fatal(err)
				}
				if owed[f.ID] = n; n == 9 {
					if err := d.Sync(t.Context()); err != nil {
						t.Fatal(err)
					}
					maps.Copy(synced, owed)
				}
			}
			time.Sleep(syncs / 3) // it is written, and not synced
			killed := fs.Kill()
			d.Close()
			killed.SyncFail, killed.SyncBad = 1, bad
			var log bytes.Buffer
			d, err = store.OpenDisk(store.DiskOptions{FS: killed, Grace: time.Millisecond, Log: logged(&log)})
			if err != nil {
				t.Fatal(err)
			}
			if err := checkOwed(d, owed); err != nil {
				t.Error(err)
			}
			f, err := recordOne(d, conns, 20)
			if err != nil {
				t.Fatal(err)
			}
			said := "it was written again"
			if bad {
				said, owed = "what was recorded is not safe", synced
			} else {
				owed[f.ID] = 20
			}
			if err := d.Sync(t.Context()); (err != nil) != bad {
				t.Error(err)
			}
			if bytes.Count(log.Bytes(), []byte(said)) == 0 || bytes.Contains(log.Bytes(), []byte("ERROR")) != bad {
				t.Errorf("it says:\n%s", &log)
			}
			after := killed.Crash(disk.None, nil)
			d.Close()
			d = newDisk(t, store.DiskOptions{FS: after})
			if err := checkOwed(d, owed); err != nil {
				t.Error(err)
			}
		})
	}
}

// syncs is longer than the time between two.
const syncs = 1100 * time.Millisecond

// A full disk stops recording, and nothing that was recorded is lost by it. When there
// is room again it goes on, with what has waited; what found no room is counted.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disk.New()
		fs.Room = 300_000
		var log bytes.Buffer
		d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 64 << 10, Queue: 1 << 20, Log: logged(&log)})
		conns := someConns(2)
		owed := map[flow.ID]int{}
		for n := 1; n <= 1500; n++ {
			f, err := recordOne(d, conns, n)
			if err == nil && !f.Detail.(*flow.HTTP).ResponseBody.Truncated {
				owed[f.ID] = n
			}
			if n%10 == 0 {
				time.Sleep(200 * time.Millisecond)
			}
		}
		s := d.Stats()
		if !s.Failing || s.Failures != 1 || s.Refused == 0 || s.Starved == 0 || s.Queued > 1<<20 {
			t.Errorf("%+v", s)
		}
		if err := checkOwed(d, owed); err != nil {
			t.Errorf("while it is full: %v", err)
		}
		fs.Set(func(fs *disk.Disk) { fs.Room = 0 })
		time.Sleep(3 * time.Second)
		for n := 2001; n <= 2020; n++ {
			f, err := recordOne(d, conns, n)
			if err != nil {
				t.Fatal(err)
			}
			owed[f.ID] = n
		}
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := d.Stats(); s.Failing || s.Queued != 0 {
			t.Errorf("%+v", s)
		}
		if bytes.Count(log.Bytes(), []byte("level=ERROR")) != 1 || bytes.Count(log.Bytes(), []byte("recording again")) != 1 {
			t.Errorf("logged:\n%s", &log)
		}
		d.Close()
		d = newDisk(t, store.DiskOptions{FS: fs})
		if err := checkOwed(d, owed); err != nil {
			t.Error(err)
		}
	})
}

// A store is opened on a full disk, too: what a crash has left under way ends in memory,
// and in the log when there is room.
func TestDiskOpenFull(t *testing.T) {
	for extra := int64(0); extra < 700; extra += 35 {
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			d := newDisk(t, store.DiskOptions{FS: fs})
			w := d.NewBody()
			p := bytes.Repeat([]byte("a body that is under way. "), 10_000)
			write(t, w, p)
			put(t, d, httpFlow(id(1), 0, flow.Open, w.Ref()))
			put(t, d, httpFlow(id(2), 1, flow.Done, flow.BodyRef{}))
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			fs = fs.Kill()
			w.Close()
			d.Close()
			whole := func(d *store.Disk) {
				t.Helper()
				var got []*flow.Flow
				for f, err := range d.Flows(t.Context(), store.Query{}) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, f)
				}
				if len(got) != 2 || got[0].State != flow.Failed || got[1].State != flow.Done {
					t.Fatalf("%d bytes of room: %v", extra, got)
				}
				if b, err := open(d, got[0].Detail.(*flow.HTTP).ResponseBody); err != nil || !bytes.Equal(b, p) {
					t.Errorf("%d bytes of room: a body of %d bytes, %v; want %d", extra, len(b), err, len(p))
				}
			}
			fs.Room = fs.Used() + extra
			d, err := store.OpenDisk(store.DiskOptions{FS: fs})
			if err != nil {
				t.Fatalf("%d bytes of room: %v", extra, err)
			}
			defer d.Close()
			whole(d)
			fs.Set(func(fs *disk.Disk) { fs.Room = 0 })
			if err := d.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			whole(d)
			d.Close()
			whole(newDisk(t, store.DiskOptions{FS: fs}))
		})
	}
}

// When it may lose nothing, who records waits for a full disk, and goes on when there
// is room.
func TestDiskFullLossless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disk.New()
		fs.Room = 100_000
		d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: 64 << 10, Queue: 256 << 10, Lossless: true})
		owed := map[flow.ID]int{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			conns := someConns(2)
			for n := 1; n <= 500; n++ {
				f, err := recordOne(d, conns, n)
				if err != nil {
					t.Error(err)
					return
				}
				owed[f.ID] = n
			}
		}()
		time.Sleep(time.Minute)
		select {
		case <-done:
			t.Fatal("nobody has waited")
		default:
		}
		fs.Set(func(fs *disk.Disk) { fs.Room = 0 })
		<-done
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := d.Stats(); s.Refused+s.TruncatedBody != 0 {
			t.Errorf("%+v", s)
		}
		if err := checkOwed(d, owed); err != nil {
			t.Error(err)
		}
	})
}

// Who waits for a full disk is let go at the end, and what is lost is said.
func TestDiskRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := disk.New()
		fs.Room = 10_000
		d, err := store.OpenDisk(store.DiskOptions{FS: fs, Queue: 256 << 10, Lossless: true})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w := d.NewBody()
			defer w.Close()
			put(t, d, httpFlow(id(1), 0, flow.Open, w.Ref()))
			w.Write(make([]byte, 1<<20))
		}()
		time.Sleep(time.Minute)
		d.Release()
		<-done
		if s := d.Stats(); s.Starved != 1 {
			t.Errorf("%+v", s)
		}
		if err := d.Close(); err == nil {
			t.Errorf("nothing is said of what was lost: %+v", d.Stats())
		}
	})
}

// Who is slow to read keeps nobody from recording.
func TestDiskSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(t, store.DiskOptions{MaxFlows: 300, SegmentSize: 16 << 10})
		conns := someConns(1)
		for n := 1; n <= 500; n++ {
			if _, err := recordOne(d, conns, n); err != nil {
				t.Fatal(err)
			}
		}
		n, seen := 500, 0
		for f, err := range d.Flows(t.Context(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; f == nil || seen > 100 {
				break
			}
			for range 20 { // meanwhile
				n++
				if _, err := recordOne(d, conns, n); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		if s := d.Stats(); s.Refused+s.TruncatedBody != 0 || s.Evicted == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestDiskOrphanStays: a later state of a flow that has ended, whose connection a crash has taken, is left out, and
// does not come back when the crash is forgotten.
func TestDiskOrphanStays(t *testing.T) {
	o := store.DiskOptions{Dir: t.TempDir()}
	conns := someConns(1)
	d := newDisk(t, o)
	f := someFlow(1, conns, flow.BodyRef{}, flow.BodyRef{})
	put(t, d, f)
	d.Close()
	d = newDisk(t, o) // which begins a file
	later := *f
	later.Rev++
	put(t, d, &later)
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := filepath.Join(t.TempDir(), "crashed")
	if err := os.CopyFS(crashed, os.DirFS(o.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(crashed, 0o700); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(crashed, "0000000002.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[64+16+2] ^= 1 // the hello, which is the first record
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		d := newDisk(t, store.DiskOptions{Dir: crashed})
		found := 0
		for g, err := range d.Flows(t.Context(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if found++; len(g.Conn.Layers) != 1 || g.State != flow.Done {
				t.Errorf("opening %d: %v of %+v", n, g.State, g.Conn)
			}
		}
		if found != 1 {
			t.Errorf("opening %d: %d flows", n, found)
		}
		d.Close()
	}
}

// TestDiskConnsWhole: no flow refers to a connection that was written before in another file than its hello: that may be
// of no use to anybody, and gone, when the flow comes.
func TestDiskConnsWhole(t *testing.T) {
	for size := int64(400); size < 2000; size += 20 {
		synctest.Test(t, func(t *testing.T) {
			fs := disk.New()
			d := newDisk(t, store.DiskOptions{FS: fs, SegmentSize: size})
			conns := someConns(2)
			for i := range 10 {
				put(t, d, someFlow(i, conns, flow.BodyRef{}, flow.BodyRef{}))
				if err := d.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			log, err := segment.OpenReader(segment.Options{FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			apart, used := map[uint64]bool{}, map[uint64]int{}
			for at, err := range log.Scan(t.Context(), segment.Position{}) {
				if err != nil {
					t.Fatal(err)
				}
				name := at.Segment<<32 | uint64(at.Offset)
				switch at.Kind {
				case wire.KindConn:
					_, err = wire.ReadConn(at.Payload, func(blob uint64) ([]byte, error) {
						apart[name] = apart[name] || blob>>32 != at.Segment
						return nil, nil
					})
				case wire.KindFlow:
					_, name, err = wire.ReadFlow(at.Payload)
					if used[name]++; apart[name] && used[name] > 1 {
						t.Errorf("files of %d bytes: segment %d, record at %d refers to what is not whole there", size, at.Segment, at.Offset)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
