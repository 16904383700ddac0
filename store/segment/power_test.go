package segment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"filippo.io/age"

	"transom/internal/testnet/disk"
	"transom/store/segment"
)

// A book says what the log owes: what was appended where, and what of it has to be
// there.
type book struct {
	all    map[segment.Position]uint32 // what was ever appended, by checksum
	synced map[segment.Position]bool
	tried  map[uint32]bool    // checksums of what an Append was to write, successful or not
	fresh  []segment.Position // appended, and not synced
	last   segment.Position
	i      int
	secret []byte
}

func newBook() *book {
	return &book{all: map[segment.Position]uint32{}, synced: map[segment.Position]bool{}, tried: map[uint32]bool{}}
}

// clone returns the book of another world.
func (b *book) clone() *book {
	return &book{all: maps.Clone(b.all), synced: maps.Clone(b.synced), tried: maps.Clone(b.tried), fresh: slices.Clone(b.fresh), last: b.last, i: b.i, secret: b.secret}
}

func sum(r segment.Record) uint32 {
	return crc32.ChecksumIEEE(append(bytes.Clone(r.Payload), r.Kind))
}

// work is a life of a log: batches, syncs, new segments, a compaction, removals and a
// second opening. It ends with the first error.
func (b *book) work(d *disk.Disk) error {
	for range 2 {
		l, err := b.open(d)
		if err != nil {
			return err
		}
		if err := b.write(l, 12); err != nil {
			return err
		}
		if err := b.compact(l); err != nil {
			return err
		}
		if err := b.write(l, 3); err != nil {
			return err
		}
		if err := b.remove(l); err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
		b.sync()
	}
	return nil
}

func (b *book) open(d *disk.Disk) (*segment.Log, error) {
	return segment.Open(segment.Options{FS: d, SegmentSize: 2 << 10, Secret: b.secret, Gist: gist})
}

// gist is a part of each record.
func gist(_ uint8, payload []byte) int { return len(payload) / 2 }

func (b *book) write(l *segment.Log, batches int) error {
	for n := range batches {
		if err := b.append(l, 1+b.i%4); err != nil {
			return err
		}
		if n%2 == 1 {
			if err := l.Sync(); err != nil {
				return err
			}
			b.sync()
		}
	}
	return nil
}

func (b *book) append(l *segment.Log, n int) error {
	var batch []segment.Record
	for range n {
		b.i++
		batch = append(batch, segment.Record{Kind: uint8(1 + b.i%7), Payload: bytes.Repeat(fmt.Appendf(nil, "%d,", b.i), b.i*37%150)})
	}
	for _, r := range batch {
		b.tried[sum(r)] = true
	}
	at, err := l.Append(batch...)
	for i, p := range at {
		if !b.last.Before(p) {
			return fmt.Errorf("position %v is given again after %v", p, b.last)
		}
		b.last, b.all[p] = p, sum(batch[i])
		b.fresh = append(b.fresh, p)
	}
	return err
}

func (b *book) sync() {
	for _, p := range b.fresh {
		b.synced[p] = true
	}
	b.fresh = nil
}

// compact leaves every third record out.
func (b *book) compact(l *segment.Log) error {
	for _, info := range l.Segments()[:2] {
		if !info.Sealed {
			return errors.New("it is not sealed")
		}
		keep := func(p segment.Position) bool { return b.all[p]%3 != 0 }
		for p := range b.synced {
			if p.Segment == info.Number && !keep(p) {
				delete(b.synced, p)
			}
		}
		if _, err := l.Compact(context.Background(), info.Number, func(p segment.Position, _ uint8, _ int) bool { return keep(p) }, nil); err != nil {
			return err
		}
	}
	return nil
}

func (b *book) remove(l *segment.Log) error {
	number := l.Segments()[1].Number
	for p := range b.synced {
		if p.Segment == number {
			delete(b.synced, p)
		}
	}
	return l.Remove(number)
}

// check opens what is left, compares it with the book, and goes on.
func (b *book) check(d *disk.Disk) error {
	l, err := b.open(d)
	if err != nil {
		return err
	}
	defer l.Close()
	found := map[segment.Position]bool{}
	var last segment.Position
	var damage *segment.Damage
	for at, err := range l.Scan(context.Background(), segment.Position{}) {
		switch want, ok := b.all[at.Position]; {
		case errors.As(err, &damage): // of what was not synced
		case err != nil:
			return err
		case ok && want != sum(at.Record), !b.tried[sum(at.Record)]:
			return fmt.Errorf("%v has what was not written there", at.Position)
		case !last.Before(at.Position):
			return fmt.Errorf("%v comes after %v", at.Position, last)
		default:
			found[at.Position], last = true, at.Position
		}
	}
	outlined := maps.Clone(found)
	for line, err := range l.Outline(context.Background()) {
		switch {
		case errors.As(err, &damage):
		case err != nil:
			return err
		case !found[line.Position], line.Length/2 != len(line.Gist):
			return fmt.Errorf("%v is in the outline, and not there", line.Position)
		default:
			delete(outlined, line.Position)
		}
	}
	if len(outlined) > 0 {
		return fmt.Errorf("%d records are in no outline", len(outlined))
	}
	for p := range b.synced {
		if r, err := l.Read(p, nil); err != nil || sum(r) != b.all[p] || !found[p] {
			return fmt.Errorf("%v was synced: %w, in the scan %v", p, err, found[p])
		}
	}
	if err := b.append(l, 3); err != nil {
		return err
	}
	return l.Close()
}

// TestPowerCut cuts the power at every step of a log's life, and looks at what is left
// if all, some or none of the changes that were not synced have come to the disk.
func TestPowerCut(t *testing.T) {
	t.Run("plain", func(t *testing.T) { cutPower(t, nil) })
	t.Run("encrypted", func(t *testing.T) { cutPower(t, secret(t)) })
}

// secret makes a key as age-keygen does.
func secret(t testing.TB) []byte {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return []byte("# a comment\n" + i.String() + "\n")
}

func cutPower(t *testing.T, secret []byte) {
	newBook := func() *book {
		b := newBook()
		b.secret = secret
		return b
	}
	whole := disk.New()
	if err := newBook().work(whole); err != nil {
		t.Fatal(err)
	}
	steps := whole.Steps()
	t.Logf("%d steps", steps)
	if steps < 100 {
		t.Fatalf("only %d steps", steps)
	}
	for n := 1; n <= steps+1; n++ {
		for what := range 5 {
			chance := rand.New(rand.NewPCG(uint64(n), uint64(what)))
			d := disk.New()
			d.CutAt = n
			b := newBook()
			if err := b.work(d); err != nil && !errors.Is(err, disk.ErrPower) { // without a last footer it has ended well
				t.Fatalf("cut in step %d: %v", n, err)
			}
			after := d.Crash(min(what, disk.Some), chance)
			if err := b.clone().check(after); err != nil {
				t.Fatalf("cut in step %d, of the rest there is %d: %v", n, what, err)
			}
			// And again, in the middle of what the first opening does.
			again := d.Crash(min(what, disk.Some), chance)
			again.CutAt = 1 + chance.IntN(6)
			_ = b.check(again)
			if err := b.check(again.Crash(disk.Some, chance)); err != nil {
				t.Fatalf("cut in step %d and again: %v", n, err)
			}
		}
	}
}

// TestKilledThenPowerCut takes what an opened log has for synced, whoever wrote it.
func TestKilledThenPowerCut(t *testing.T) {
	for n := 1; n < 120; n++ {
		d := disk.New()
		d.CutAt = n
		b := newBook()
		if err := b.work(d); !errors.Is(err, disk.ErrPower) {
			t.Fatal(err)
		}
		b.found(t, d.Kill())
	}
}

// TestSyncFails has each sync fail once: what the log calls synced is there after a
// crash, and it says what may not be.
func TestSyncFails(t *testing.T) {
	times := 0
	for n := 1; n < 40; n++ {
		d := disk.New()
		b := newBook()
		l, err := b.open(d)
		if err != nil {
			t.Fatal(err)
		}
		d.Set(func(d *disk.Disk) { d.SyncFail = n })
		failed := 0
		for range 30 {
			if err := b.append(l, 3); err != nil {
				t.Fatal(err)
			}
			err := l.Sync()
			var lost *segment.SyncError
			if errors.As(err, &lost) {
				failed++
				var fresh []segment.Position
				for _, p := range b.fresh {
					if p.Before(lost.From) || !p.Before(lost.To) {
						fresh = append(fresh, p)
					}
				}
				b.fresh = fresh
			} else if err != nil {
				t.Fatal(err)
			}
			b.sync()
		}
		if failed > 1 {
			t.Fatalf("sync %d: %d have failed", n, failed)
		}
		times += failed
		if err := b.check(d.Crash(disk.None, nil)); err != nil {
			t.Fatalf("sync %d: %v", n, err)
		}
	}
	if times < 20 { // of the others some have lost nothing, and some never came
		t.Errorf("%d times something may be lost", times)
	}
}

// TestSyncFailsThenKilled has a sync fail, and the process end then, in each order. What the
// next one finds it puts on disk, where the system would have said of what it has dropped that it
// is there.
func TestSyncFailsThenKilled(t *testing.T) {
	for n := 1; n < 25; n++ {
		for _, closed := range []bool{false, true} {
			d := disk.New()
			b := newBook()
			l, err := b.open(d)
			if err != nil {
				t.Fatal(err)
			}
			d.Set(func(d *disk.Disk) { d.SyncFail = n })
			var lost *segment.SyncError
			for lost == nil {
				if err := b.append(l, 3); err != nil {
					t.Fatal(err)
				}
				if err := l.Sync(); err != nil && !errors.As(err, &lost) {
					t.Fatal(err)
				}
				if d.Syncs() > n {
					break // it had nothing to lose
				}
			}
			if closed {
				if err := errors.Join(b.append(l, 3), l.Close()); err != nil {
					t.Fatal(err)
				}
			}
			b.found(t, d.Kill())
		}
	}
}

// found opens a log, and takes all that it has for synced: then the power is cut.
func (b *book) found(t *testing.T, d *disk.Disk) {
	t.Helper()
	l, err := b.open(d)
	if err != nil {
		t.Fatal(err)
	}
	for at, err := range l.Scan(context.Background(), segment.Position{}) {
		if err != nil {
			t.Fatal(err)
		}
		b.all[at.Position], b.synced[at.Position] = sum(at.Record), true
	}
	if err := b.check(d.Crash(disk.None, nil)); err != nil {
		t.Fatal(err)
	}
}

// TestOpenSyncFails: a log whose last segment can't be put on disk is open all the same, and says what
// may be lost.
func TestOpenSyncFails(t *testing.T) {
	d := disk.New()
	b := newBook()
	l, err := b.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.append(l, 3), l.Sync()); err != nil {
		t.Fatal(err)
	}
	b.sync()
	if err := b.append(l, 3); err != nil {
		t.Fatal(err)
	}
	end := l.End()
	d = d.Kill()
	d.SyncFail = 1
	if l, err = b.open(d); err != nil {
		t.Fatal(err)
	}
	lost := l.Unsafe()
	if lost == nil || !errors.Is(lost, syscall.EIO) || lost.From.Segment != 1 || lost.To != end {
		t.Errorf("%v", lost)
	}
	for p, want := range b.all {
		if r, err := l.Read(p, nil); err != nil || sum(r) != want {
			t.Errorf("%v: %v", p, err)
		}
	}
	if s := l.Segments(); len(s) != 1 || s[0].Sealed {
		t.Errorf("%+v", s)
	}
	if err := errors.Join(b.append(l, 3), l.Sync()); err != nil {
		t.Fatal(err)
	}
	for _, p := range b.fresh[3:] {
		b.synced[p] = true
	}
	b.fresh = nil
	if names, err := d.List(); err != nil || len(names) != 2 {
		t.Errorf("%q, %v", names, err)
	}
	if err := b.check(d.Crash(disk.None, nil)); err != nil {
		t.Error(err)
	}
}

// TestOpenFull: without room for another file a segment stays where it is, and without a footer: nobody knows
// that it is on disk.
func TestOpenFull(t *testing.T) {
	d := disk.New()
	b := newBook()
	l, err := b.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.append(l, 3); err != nil {
		t.Fatal(err)
	}
	d = d.Kill()
	d.Room = 1
	if l, err = b.open(d); err != nil {
		t.Fatal(err)
	}
	if s := l.Segments(); len(s) != 1 || s[0].Sealed || l.Unsafe() != nil || len(l.Recovered()) > 0 {
		t.Errorf("%+v, %v", s, l.Unsafe())
	}
	b.sync()
	if err := b.clone().check(d.Crash(disk.None, nil)); err != nil {
		t.Error(err)
	}
}

// A sync that fails when all is on disk already, as the one that seals, has lost nothing.
func TestSealFails(t *testing.T) {
	d := disk.New()
	b := newBook()
	l, err := b.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.append(l, 3), l.Sync()); err != nil {
		t.Fatal(err)
	}
	b.sync()
	d.Set(func(d *disk.Disk) { d.SyncFail = 2 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := b.check(d.Crash(disk.None, nil)); err != nil {
		t.Error(err)
	}
}

// TestFull fills the disk at each byte of an append.
func TestFull(t *testing.T) {
	listed := func(t *testing.T, d *disk.Disk) []string {
		t.Helper()
		names, err := d.List()
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		return names
	}

	for room := int64(1); room < 1200; room++ {
		d := disk.New()
		b := newBook()
		l, err := b.open(d)
		if err != nil {
			t.Fatal(err)
		}
		d.Set(func(d *disk.Disk) { d.Room = room })
		for err == nil {
			err = b.append(l, 2)
		}
		if !errors.Is(err, segment.ErrFull) {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
		for range 3 {
			files := listed(t, d)
			err := b.append(l, 2)
			if err != nil && !errors.Is(err, segment.ErrFull) { // there may be room for a smaller one
				t.Fatalf("room for %d bytes: then %v", room, err)
			}
			if now := listed(t, d); err != nil && !slices.Equal(now, files) {
				t.Fatalf("room for %d bytes: a try that failed leaves %q of %q", room, now, files)
			}
			if err := l.Sync(); err != nil {
				t.Fatalf("room for %d bytes: %v", room, err)
			}
			b.sync()
		}
		before := b.last
		d.Set(func(d *disk.Disk) { d.Room = 10 })
		if err := b.append(l, 2); !errors.Is(err, segment.ErrFull) {
			t.Fatalf("no room: %v", err)
		}
		d.Set(func(d *disk.Disk) { d.Room = 0 })
		if err := b.append(l, 2); err != nil {
			t.Fatalf("room again: %v", err)
		}
		if b.last.Segment == before.Segment { // somebody may have read what was taken back
			t.Fatalf("room for %d bytes: %v is used again", room, b.last)
		}
		if err := l.Sync(); err != nil {
			t.Fatalf("room again: %v", err)
		}
		b.sync()
		if err := b.check(d.Crash(disk.None, nil)); err != nil {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
	}
}

// TestCompactFails has a compaction run out of room, of time, and meet damage.
func TestCompactFails(t *testing.T) {
	d := disk.New()
	b := newBook()
	l, err := b.open(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.write(l, 12); err != nil {
		t.Fatal(err)
	}
	all := func(segment.Position, uint8, int) bool { return true }
	before := l.Segments()
	d.Set(func(d *disk.Disk) { d.Room = 1 })
	if _, err := l.Compact(context.Background(), 1, all, nil); !errors.Is(err, segment.ErrFull) {
		t.Errorf("without room: %v", err)
	}
	d.Set(func(d *disk.Disk) { d.Room = 0 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := l.Compact(ctx, 1, all, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if now := l.Segments(); !slices.Equal(now, before) {
		t.Errorf("was %v, is %v", before, now)
	}
	if _, err := l.Compact(context.Background(), before[len(before)-1].Number, all, nil); err == nil {
		t.Error("of the segment that is appended to")
	}
	names, err := d.List()
	if err != nil || len(names) != len(before) {
		t.Errorf("%v, %v", names, err)
	}

	f, err := d.Change(names[slices.Index(names, "0000000002.seg")])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{0xff}, 100); err != nil {
		t.Fatal(err)
	}
	c, err := l.Compact(context.Background(), 2, all, nil)
	if err != nil || len(c.Damage) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	lost := 0
	for p := range b.synced {
		r, err := l.Read(p, nil)
		switch {
		case errors.Is(err, segment.ErrGone):
			lost++
		case err != nil || sum(r) != b.all[p]:
			t.Errorf("%v: %v", p, err)
		}
	}
	if lost != 1 {
		t.Errorf("%d records are gone", lost)
	}
}
