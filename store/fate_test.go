package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/testnet/disk"
	"transom/store"
)

// A fate is what a store goes through as chance has it, beside what has to be in it.
type fate struct {
	r     *rand.Rand
	o     store.DiskOptions
	fs    *disk.Disk
	d     *store.Disk
	conns []*flow.Conn
	n     int // of flows that have begun

	known   map[flow.ID]*told
	under   []*told
	readers []*reading
	views   []*view
}

// told is what is known of a flow.
type told struct {
	id     flow.ID
	rev    uint32
	state  flow.State
	w      store.BodyWriter
	ref    flow.BodyRef
	body   []byte // all that it is to be
	sent   int    // of it
	gone   bool   // it was deleted
	bare   bool   // its body is, and it has come again
	synced *told  // as it was at the last sync; nil is that it was not
	unsure bool   // it was not on disk when there was a crash: its body may be damaged
	again  int    // how often it has come again
	loose  bool   // nor was this state of it: its connection may be
}

// A reading is a body that is read bit by bit.
type reading struct {
	of   *told
	from io.ReadSeekCloser
	at   int
}

// A view is who reads the directory beside the store.
type view struct {
	r    *store.DiskReader
	seen []*told // ended, and on disk, when it was opened
}

func (x *fate) open() error {
	x.o.FS = x.fs
	d, err := store.OpenDisk(x.o)
	if err == nil {
		x.d = d
	}
	return err
}

// some returns a body.
func (x *fate) some() []byte {
	switch x.r.IntN(8) {
	case 0:
		return nil
	case 1, 2:
		return bytes.Repeat([]byte{byte(x.r.IntN(5))}, 3000) // small, and often
	case 3:
		b := rand.NewChaCha8([32]byte{byte(x.r.IntN(3))}) // large, and often
		p := make([]byte, 150_000)
		b.Read(p)
		return p
	case 4:
		p := make([]byte, 70_000+x.r.IntN(60_000))
		rand.NewChaCha8([32]byte{1, byte(x.n), byte(x.n >> 8)}).Read(p)
		return p
	}
	p := make([]byte, 1+x.r.IntN(4000))
	rand.NewChaCha8([32]byte{2, byte(x.n), byte(x.n >> 8)}).Read(p)
	return p
}

func (x *fate) begin() *told {
	x.n++
	k := &told{id: flow.NewID(time.Now()), state: flow.Open, w: x.d.NewBody(), body: x.some()}
	x.known[k.id] = k
	x.under = append(x.under, k)
	x.put(k)
	return k
}

func (x *fate) put(k *told) {
	k.ref = k.w.Ref()
	f := someFlow(0, x.conns[x.r.IntN(len(x.conns)):], flow.BodyRef{}, k.ref)
	f.ID, f.Rev, f.State = k.id, k.rev, k.state
	f.Detail.(*flow.HTTP).Request.Target = fmt.Sprint(k.rev)
	if err := x.d.Put(context.Background(), f); err != nil {
		panic(err)
	}
	k.loose = false
	if k.gone {
		k.gone, k.bare = false, true
		k.again++
	}
}

func (x *fate) send(k *told, n int) {
	n = min(n, len(k.body)-k.sent)
	k.w.Write(k.body[k.sent : k.sent+n])
	k.sent += n
}

func (x *fate) end(k *told) {
	for k.sent < len(k.body) {
		x.send(k, 1+x.r.IntN(40_000))
	}
	k.rev++
	k.state = flow.Done
	x.put(k)
	k.w.Close()
	x.under = slices.DeleteFunc(x.under, func(o *told) bool { return o == k })
}

// sync has all that is known be owed from now on.
func (x *fate) sync() error {
	if err := x.d.Sync(context.Background()); err != nil {
		return err
	}
	for id, k := range x.known {
		now := *k
		now.synced = nil
		k.synced = &now
		if k.gone && k.w == nil {
			delete(x.known, id)
		}
	}
	return nil
}

// pick returns a flow that is there.
func (x *fate) pick() *told {
	all := slices.SortedFunc(maps.Values(x.known), func(a, b *told) int { return bytes.Compare(a.id[:], b.id[:]) })
	all = slices.DeleteFunc(all, func(k *told) bool { return k.gone })
	if len(all) == 0 {
		return nil
	}
	return all[x.r.IntN(len(all))]
}

// step is one thing that happens.
func (x *fate) step() error {
	switch x.r.IntN(24) {
	case 0, 1:
		x.begin()
	case 2, 3, 4, 5, 6, 7:
		x.end(x.begin())
	case 8, 9:
		if len(x.under) > 0 {
			k := x.under[x.r.IntN(len(x.under))]
			x.send(k, 1+x.r.IntN(40_000))
			if x.r.IntN(2) == 0 {
				k.rev++
				x.put(k)
			}
		}
	case 10:
		if len(x.under) > 0 {
			x.end(x.under[x.r.IntN(len(x.under))])
		}
	case 11, 12, 13:
		for range 1 + x.r.IntN(8) {
			if k := x.pick(); k != nil {
				if err := x.d.Delete(context.Background(), k.id); err != nil {
					return err
				}
				k.gone = true
			}
		}
	case 14, 15, 16:
		return x.sync()
	case 17, 18:
		err := x.d.Compact(context.Background())
		if x.d.Stats().Unsynced > 0 {
			return disk.ErrPower // it was told, and the next sync says nothing of it
		}
		if !errors.Is(err, syscall.EIO) { // it could not put a file on disk that was to take another's place
			return err
		}
	case 19:
		time.Sleep(time.Duration(x.r.IntN(40_000)) * time.Millisecond)
	case 20:
		return x.read()
	case 21:
		return x.goOn()
	case 22:
		if x.r.IntN(4) == 0 {
			return x.again()
		}
		return x.lookOn()
	case 23:
		return x.check()
	}
	return nil
}

// read begins to read a body.
func (x *fate) read() error {
	k := x.pick()
	if k == nil || k.bare || k.unsure {
		return nil
	}
	from, err := x.d.OpenBody(context.Background(), k.ref)
	if err == nil {
		x.readers = append(x.readers, &reading{of: k, from: from})
	}
	return err
}

// goOn has bodies read on that somebody has begun to read.
func (x *fate) goOn() error {
	for _, r := range x.readers {
		p := make([]byte, 1+x.r.IntN(100_000))
		n, err := io.ReadFull(r.from, p)
		switch {
		case r.of.gone || r.of.bare:
			continue
		case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
			return fmt.Errorf("read on at %d of %d: %w", r.at, len(r.of.body), err)
		case r.at+n > r.of.sent || !bytes.Equal(p[:n], r.of.body[r.at:r.at+n]):
			return fmt.Errorf("read on at %d of %d: it is another", r.at, len(r.of.body))
		}
		r.at += n
	}
	if len(x.readers) > 8 {
		x.readers = x.readers[4:]
	}
	return nil
}

// lookOn has somebody read the directory, and those who do look again.
func (x *fate) lookOn() error {
	for _, v := range x.views {
		for _, k := range v.seen {
			if k.gone || k.bare {
				continue
			}
			from, err := v.r.OpenBody(context.Background(), k.ref)
			if err == nil {
				err = sameBody(from, k.body)
			}
			if err != nil && !k.gone {
				return fmt.Errorf("beside: flow %v: %w", k.id, err)
			}
		}
	}
	if len(x.views) > 2 {
		x.views[0].r.Close()
		x.views = x.views[1:]
	}
	r, err := store.OpenDiskReader(x.o)
	if err != nil {
		return err
	}
	v := &view{r: r}
	for _, k := range x.known {
		if s := k.synced; s != nil && s.state != flow.Open && !s.gone && !s.unsure && !k.gone && !k.bare {
			v.seen = append(v.seen, k)
		}
	}
	x.views = append(x.views, v)
	return nil
}

func sameBody(from io.ReadCloser, want []byte) error {
	got, err := io.ReadAll(from)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("a body of %d bytes, want another of %d", len(got), len(want))
	}
	return errors.Join(err, from.Close())
}

// again closes the store and opens it.
func (x *fate) again() error {
	if err := x.d.Close(); err != nil {
		return err
	}
	if x.d.Stats().Unsynced > 0 {
		return disk.ErrPower
	}
	for _, k := range x.known {
		now := *k
		now.synced = nil
		k.synced = &now
	}
	return x.came(x.open())
}

// crash is one of everything.
func (x *fate) crash() error {
	var after *disk.Disk
	if what := x.r.IntN(4); what < 3 {
		after = x.fs.Crash(what, x.r)
	} else {
		after = x.fs.Kill()
	}
	x.d.Close()
	x.fs = after
	x.fs.SyncFail = x.r.IntN(8) // at the opening, or soon after
	return x.came(x.open())
}

// came finds out what is there when the store was opened.
func (x *fate) came(err error) error {
	if err != nil {
		return err
	}
	x.under, x.readers = nil, nil
	for _, v := range x.views {
		v.r.Close()
	}
	x.views = nil
	there := map[flow.ID]*flow.Flow{}
	for f, err := range x.d.Flows(context.Background(), store.Query{}) {
		if err != nil {
			return err
		}
		there[f.ID] = f
	}
	for id, k := range x.known {
		if err := x.reconcile(k, there[id]); err != nil {
			return fmt.Errorf("flow %v: %w", id, err)
		}
		delete(there, id)
		if k.w = nil; k.gone {
			delete(x.known, id)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("%d flows are there that were deleted", len(there))
	}
	return errors.Join(x.check(), x.sync())
}

// reconcile has k be what was found, or says why that can't be.
func (x *fate) reconcile(k *told, f *flow.Flow) error {
	s := k.synced
	if f == nil {
		if s != nil && !s.gone && !k.gone && k.again == s.again {
			return fmt.Errorf("revision %d was synced, and is gone", s.rev)
		}
		k.gone = true
		return nil
	}
	rev := f.Rev
	if f.State == flow.Failed && k.state != flow.Failed {
		rev-- // it was under way
	}
	if f.State == flow.Failed {
		rev = min(rev, k.rev) // it may have failed in openings that were cut, too
	}
	switch {
	case s != nil && s.gone && k.gone && s.rev == k.rev:
		return errors.New("it was deleted, and has come back")
	case s != nil && !s.gone && rev < s.rev:
		return fmt.Errorf("revision %d was synced, and it is of %d", s.rev, f.Rev)
	case rev > k.rev:
		return fmt.Errorf("revision %d, of %d", f.Rev, k.rev)
	}
	wasBare := k.bare || k.gone
	h := f.Detail.(*flow.HTTP)
	sure := s != nil && !s.gone && !s.bare && !s.unsure && !wasBare && s.sent > 0
	if sure {
		got, err := open(x.d, h.ResponseBody)
		if len(got) < s.sent || !bytes.HasPrefix(k.body, got) {
			return fmt.Errorf("%d bytes of its body, %d were synced: %w", len(got), s.sent, err)
		}
		sure = err == nil // else what came after is damaged
		k.body, k.sent = got, len(got)
	}
	k.gone, k.bare, k.unsure = false, wasBare, k.unsure || !sure
	k.loose = s == nil || s.loose // else there is an earlier state, which had its connection
	k.rev, k.state, k.ref = f.Rev, f.State, h.ResponseBody
	return nil
}

// check looks whether all is there that has to be, and nothing else.
func (x *fate) check() error {
	left := maps.Clone(x.known)
	maps.DeleteFunc(left, func(_ flow.ID, k *told) bool { return k.gone })
	for f, err := range x.d.Flows(context.Background(), store.Query{}) {
		if err != nil {
			return err
		}
		k := left[f.ID]
		if k == nil {
			return fmt.Errorf("flow %v is there", f.ID)
		}
		delete(left, f.ID)
		whole := f.Conn != nil && len(f.Conn.Layers) == 1 && len(f.Conn.Layers[0].TLS.Hello) == 500
		if f.Rev != k.rev || f.State != k.state || !whole && !k.unsure && !k.loose {
			return fmt.Errorf("flow %v: it is of revision %d, %v, want %d, of %+v", f.ID, f.Rev, f.State, k.rev, f.Conn)
		}
		if k.bare || k.unsure {
			continue
		}
		from, err := x.d.OpenBody(context.Background(), k.ref)
		if err == nil {
			err = sameBody(from, k.body[:k.sent])
		}
		if err != nil {
			return fmt.Errorf("flow %v: %w", f.ID, err)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%d flows are missing", len(left))
	}
	return nil
}

// live is a while between two openings. power is whether it may be cut.
func (x *fate) live(power bool) error {
	fail := x.fs.Syncs() + 1 + x.r.IntN(40) // once, or not at all
	x.fs.Set(func(fs *disk.Disk) { fs.SyncFail = fail })
	if power {
		cut := x.fs.Steps() + 1 + x.r.IntN(150)
		x.fs.Set(func(fs *disk.Disk) { fs.CutAt = cut })
	}
	for range 20 + x.r.IntN(60) {
		if err := x.step(); err != nil && !errors.Is(err, disk.ErrPower) {
			return err
		} else if err != nil {
			break
		}
	}
	if power {
		return x.crash()
	}
	return errors.Join(x.check(), x.again())
}

// TestDiskFate compares a store with what has to be in it, while flows come and go, room is
// given back, it is closed, it is killed, what was recorded can't be put on disk, and its power is cut.
func TestDiskFate(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := &fate{r: rand.New(rand.NewPCG(seed, 7)), fs: disk.New(), conns: someConns(3), known: map[flow.ID]*told{}}
				x.o = store.DiskOptions{SegmentSize: 8 << 10 << x.r.IntN(6), Grace: time.Millisecond}
				if seed%4 == 3 {
					x.o.Secret = []byte("AGE-SECRET-KEY-1X9KP3TVDL9ZKR7XCCUURF5JZPXDQW7TKGP055R3DML3YFSU03J4SHX5X52")
				}
				if err := x.open(); err != nil {
					t.Fatal(err)
				}
				defer func() { x.d.Close() }()
				for range 12 {
					if err := x.live(x.r.IntN(3) > 0); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
