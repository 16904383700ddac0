package control_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"transom/app/control"
	"transom/filter"
	"transom/flow"
	"transom/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pipes is a listener that connections are handed to.
type pipes struct {
	c    chan net.Conn
	once sync.Once
	done chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.c:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.c <- there:
		return here, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// looked serves a recording and returns who looks at it.
func looked(t *testing.T, of control.Recording) *control.Client {
	l := &pipes{c: make(chan net.Conn), done: make(chan struct{})}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var served sync.WaitGroup
	served.Go(func() {
		if err := control.Serve(ctx, l, of, control.About{Store: "/var/lib/flows"}, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	})
	c := control.New(4711, l.dial)
	t.Cleanup(func() {
		c.Close()
		stop()
		served.Wait()
	})
	return c
}

var began = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// recorded is a store with flows of two connections, and bodies.
func recorded(t *testing.T, n int) *store.Memory {
	m := store.NewMemory(store.MemoryOptions{})
	t.Cleanup(func() { m.Close() })
	for i := range n {
		host := []string{"a.example", "b.example"}[i%2]
		conn := &flow.Conn{
			ID: flow.ID{1, 15: byte(i % 2)}, Start: began, Network: "tcp", Host: host, Client: netip.MustParseAddrPort("192.0.2.1:50000"),
			Layers: []flow.Layer{{Proto: "tls", Host: host, TLS: &flow.TLS{ServerName: host, Hello: []byte("hello of " + host)}}},
			Server: &flow.Leg{TLS: &flow.TLS{Chain: [][]byte{[]byte("leaf"), []byte("root")}}},
		}
		w := m.NewBody()
		if _, err := io.WriteString(w, strings.Repeat("body", i)); err != nil {
			t.Fatal(err)
		}
		f := &flow.Flow{
			ID: flow.ID{0: 2, 14: byte(i >> 8), 15: byte(i)}, Rev: 3, Conn: conn, Start: began, End: began.Add(time.Second), State: flow.Done,
			Detail: &flow.HTTP{Request: &flow.RequestHead{Method: "GET", Authority: host, Target: fmt.Sprint("/", i)}, ResponseBody: w.Ref()},
		}
		if err := errors.Join(m.Put(t.Context(), f), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func all(t *testing.T, from control.Recording, q store.Query) (flows []*flow.Flow) {
	t.Helper()
	for f, err := range from.Flows(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		flows = append(flows, f)
	}
	return flows
}

// What a client sees is what is there.
func TestFlows(t *testing.T) {
	m := recorded(t, 300)
	c := looked(t, m)
	b, err := filter.Parse(`~d b.example & ~u /\d$ & ~m get`, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, q := range map[string]store.Query{
		"all":    {},
		"filter": {Filter: b},
		"newest": {Descending: true, Limit: 7},
		"by":     {By: store.BySize, Descending: true, After: flow.ID{0: 2, 15: 9}},
		"match":  {Match: func(f *flow.Flow) bool { return f.ID[15]%50 == 0 }, Limit: 2},
	} {
		want, got := all(t, m, q), all(t, c, q)
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" || len(got) == 0 {
			t.Errorf("%s: %d flows, not %d: %s", name, len(got), len(want), d)
		}
	}
}

func TestBodies(t *testing.T) {
	m := recorded(t, 5)
	c := looked(t, m)
	for i, f := range all(t, c, store.Query{}) {
		b, err := c.OpenBody(t.Context(), f.Detail.(*flow.HTTP).ResponseBody)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(b)
		if want := strings.Repeat("body", i); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		if at, err := b.Seek(-int64(len(got))/2, io.SeekEnd); err != nil || at != int64(len(got)/2) {
			t.Errorf("seek: %d, %v", at, err)
		}
		if rest, err := io.ReadAll(b); err != nil || !bytes.Equal(rest, got[len(got)/2:]) {
			t.Errorf("the rest is %q, %v", rest, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A body that is still written is read further.
func TestGrowingBody(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	w := m.NewBody()
	defer w.Close()
	c := looked(t, m)
	b, err := c.OpenBody(t.Context(), w.Ref())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, part := range []string{"one", "two"} {
		if got, err := io.ReadAll(b); err != nil || len(got) > 0 {
			t.Fatalf("got %q, %v", got, err)
		}
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); err != nil || string(got) != part {
			t.Fatalf("got %q, %v, want %q", got, err, part)
		}
	}
}

// broken fails after a flow.
type broken struct{ control.Recording }

func (b broken) Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		last := &flow.Flow{ID: flow.ID{15: 2}}
		if !yield(&flow.Flow{ID: flow.ID{15: 1}}, nil) || !yield(nil, errors.New("the disk is gone")) {
			return
		}
		q.Lacks(last, errors.New("its connection is damaged"))
		yield(last, nil)
	}
}

// tearing has bodies that can be read up to a place, and not from there on.
type tearing struct {
	control.Recording
	from int64
	err  error
}

func (r tearing) OpenBody(context.Context, flow.BodyRef) (io.ReadSeekCloser, error) {
	return &torn{Reader: strings.NewReader(strings.Repeat("x", 100<<10)), of: r}, nil
}

type torn struct {
	*strings.Reader
	of tearing
}

func (r *torn) Close() error { return nil }

func (r *torn) Read(p []byte) (int, error) {
	left := r.of.from - (r.Size() - int64(r.Len()))
	if left <= 0 {
		return 0, r.of.err
	}
	return r.Reader.Read(p[:min(int64(len(p)), left)])
}

// Why a body breaks off is told, and all that stands before.
func TestBodyBreaksOff(t *testing.T) {
	damage := errors.New("0000000001.seg: damaged")
	for _, tc := range []tearing{{from: 0, err: damage}, {from: 7, err: damage}, {from: 70 << 10, err: damage}, {from: 70 << 10, err: store.ErrGone}} {
		c := looked(t, tc)
		b, err := c.OpenBody(t.Context(), flow.BodyRef{Segment: 1, Size: 100 << 10, Kept: 100 << 10})
		var got []byte
		if err == nil {
			got, err = io.ReadAll(b)
			b.Close()
		}
		if int64(len(got)) != tc.from || err == nil || !strings.Contains(err.Error(), tc.err.Error()) || errors.Is(err, store.ErrGone) != (tc.err == store.ErrGone) {
			t.Errorf("torn at %d: %d bytes, and %v, want %v", tc.from, len(got), err, tc.err)
		}
	}
}

func TestDelete(t *testing.T) {
	m := recorded(t, 10)
	c := looked(t, m)
	var ids []flow.ID
	for _, f := range all(t, c, store.Query{Limit: 7}) {
		ids = append(ids, f.ID)
	}
	if err := c.Delete(t.Context(), append(ids, make([]flow.ID, 1000)...)...); err != nil {
		t.Fatal(err)
	}
	if left := all(t, m, store.Query{}); len(left) != 3 || left[0].ID[15] != 7 {
		t.Errorf("%d are left", len(left))
	}
}

// full takes deletions, and can't write them down.
type full struct{ *store.Memory }

func (full) Sync(context.Context) error { return errors.New("no space left on device") }

func TestDeleteIsOnDisk(t *testing.T) {
	err := looked(t, full{recorded(t, 1)}).Delete(t.Context(), flow.ID{1})
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}

func TestAbout(t *testing.T) {
	if a, err := looked(t, broken{}).About(t.Context()); err != nil || a.Store != "/var/lib/flows" {
		t.Errorf("got %v, %v", a, err)
	}
}

// A directory's state is told with it.
func TestAboutDisk(t *testing.T) {
	d, err := store.OpenDisk(store.DiskOptions{Dir: t.TempDir(), MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if a, err := looked(t, d).About(t.Context()); err != nil || a.Disk == nil || a.Disk.Max != 1<<30 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestErrors(t *testing.T) {
	m := recorded(t, 2)
	c := looked(t, m)
	for _, err := range c.Flows(t.Context(), store.Query{By: store.BySize, After: flow.ID{9}}) {
		if !errors.Is(err, store.ErrGone) {
			t.Errorf("after what is gone: %v", err)
		}
	}
	if _, err := c.OpenBody(t.Context(), flow.BodyRef{Segment: 999, Size: 1, Kept: 1}); !errors.Is(err, store.ErrGone) {
		t.Errorf("a body that is gone: %v", err)
	}
}

// Who may not ask is hung up on, and is told what that means.
func TestHungUp(t *testing.T) {
	c := control.New(7, func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		return near, far.Close()
	})
	defer c.Close()
	_, err := c.About(t.Context())
	for _, err := range c.Flows(t.Context(), store.Query{}) {
		if err == nil || !strings.Contains(err.Error(), "process 7 hangs up") {
			t.Error(err)
		}
	}
	if err == nil || !strings.Contains(err.Error(), "sudo") {
		t.Error(err)
	}
}

// What can't be read is told of, and what comes behind it is there.
func TestUnread(t *testing.T) {
	var said []string
	q := store.Query{Lacks: func(f *flow.Flow, err error) { said = append(said, fmt.Sprint(f.ID[15], " ", err)) }}
	for f, err := range looked(t, broken{}).Flows(t.Context(), q) {
		if err != nil {
			said = append(said, err.Error())
			continue
		}
		said = append(said, fmt.Sprint(f.ID[15]))
	}
	want := []string{"1", "the running transom says: the disk is gone", "2 its connection is damaged", "2"}
	if !slices.Equal(said, want) {
		t.Errorf("%q, want %q", said, want)
	}
}

// A filter that can't judge a flow is told of.
func TestDoubt(t *testing.T) {
	slow, err := filter.Parse(`~b "(a+)+$"`, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := recorded(t, 1)
	w := m.NewBody()
	ref := w.Ref()
	ref.Size, ref.Kept, ref.Segment = 5, 5, 999 // which is not there
	f := &flow.Flow{ID: flow.ID{0: 3}, Detail: &flow.HTTP{Request: &flow.RequestHead{Method: "GET"}, Response: &flow.ResponseHead{Status: 200}, ResponseBody: ref}}
	if err := errors.Join(m.Put(t.Context(), f), w.Close()); err != nil {
		t.Fatal(err)
	}
	doubts := 0
	for got := range looked(t, m).Flows(t.Context(), store.Query{Filter: slow, Doubt: func(f *flow.Flow, err error) {
		if doubts++; f.ID != (flow.ID{0: 3}) || err == nil {
			t.Errorf("doubt of %v: %v", f, err)
		}
	}}) {
		if got.ID != f.ID {
			t.Errorf("got %s", got.ID)
		}
	}
	if doubts != 1 {
		t.Errorf("%d doubts", doubts)
	}
}
