package files_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"transom/app/export"
	"transom/app/files"
	"transom/app/har"
	"transom/app/mitm"
	"transom/flow"
	"transom/store"
)

// A disk has files, and room for left octets.
type disk struct {
	files map[string]*bytes.Buffer
	order []string
	left  int
	err   error
}

func (d *disk) open(name string) (io.WriteCloser, error) {
	if d.files[name] == nil {
		d.files[name] = new(bytes.Buffer)
		d.order = append(d.order, name)
	}
	return file{d, d.files[name]}, nil
}

type file struct {
	d *disk
	b *bytes.Buffer
}

func (f file) Write(p []byte) (int, error) {
	n := min(len(p), f.d.left)
	f.d.left -= n
	f.b.Write(p[:n])
	if n < len(p) {
		return n, f.d.err
	}
	return n, nil
}

func (file) Close() error { return nil }

type world struct {
	*disk
	log   bytes.Buffer
	now   time.Time
	store *store.Memory
	n     int
}

func newWorld() *world {
	return &world{
		disk: &disk{files: map[string]*bytes.Buffer{}, left: 1 << 30, err: syscall.ENOSPC},
		now:  time.Date(2026, 11, 27, 23, 59, 0, 0, time.UTC), store: store.NewMemory(store.MemoryOptions{}),
	}
}

func (w *world) output(t *testing.T, name string) *files.Output {
	t.Helper()
	n, err := files.ParseName(name)
	if err != nil {
		t.Fatal(err)
	}
	out, err := files.NewOutput(files.OutputOptions{
		Name: n, Open: w.open, Option: "-w", Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: func() time.Time { return w.now },
		Format: func(to io.Writer) (export.Writer, error) { return mitm.NewWriter(to, mitm.Options{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) flow() *flow.Flow {
	w.n++
	at := w.now.Add(time.Duration(w.n) * time.Millisecond)
	return &flow.Flow{ID: flow.NewID(at), Conn: &flow.Conn{Start: at}, Start: at, End: at, State: flow.Done, Detail: &flow.HTTP{
		Request:  &flow.RequestHead{Method: "GET", Scheme: "http", Authority: "a.test", Target: "/", Proto: flow.HTTP11},
		Response: &flow.ResponseHead{Status: 200, Proto: flow.HTTP11},
	}}
}

func (w *world) write(t *testing.T, out *files.Output, n int) {
	t.Helper()
	for range n {
		if err := out.Write(context.Background(), w.flow(), w.store); err != nil {
			t.Fatal(err)
		}
	}
}

// flows returns how many are in a file.
func (w *world) flows(t *testing.T, name string) int {
	t.Helper()
	to := store.NewMemory(store.MemoryOptions{})
	if err := files.Read(context.Background(), bytes.NewReader(w.files[name].Bytes()), name, to); err != nil {
		t.Error(err)
	}
	return to.Stats().Flows
}

// TestOutput: flows get into files of every compression, and each is there at once.
func TestOutput(t *testing.T) {
	for _, name := range []string{"f.mitm", "f.mitm.gz", "f.mitm.zst"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			out := w.output(t, name)
			w.write(t, out, 1)
			to := store.NewMemory(store.MemoryOptions{})
			_ = files.Read(context.Background(), bytes.NewReader(w.files[name].Bytes()), name, to) // it has no end yet
			if n := to.Stats().Flows; n != 1 {
				t.Errorf("%d flows before the end", n)
			}
			w.write(t, out, 2)
			if err := out.Close(context.Background(), w.store); err != nil {
				t.Error(err)
			}
			if n := w.flows(t, name); n != 3 {
				t.Errorf("%d flows", n)
			}
			out = w.output(t, "+"+name) // the same file, and more
			w.write(t, out, 1)
			if err := out.Close(context.Background(), w.store); err != nil {
				t.Error(err)
			}
			if n := w.flows(t, name); n != 4 {
				t.Errorf("%d flows in all", n)
			}
		})
	}
}

// TestRotation: each day has a file.
func TestRotation(t *testing.T) {
	w := newWorld()
	out := w.output(t, "d/%Y-%m-%d.mitm.gz")
	w.write(t, out, 2)
	w.now = w.now.Add(2 * time.Minute)
	w.write(t, out, 1)
	if err := out.Close(context.Background(), w.store); err != nil {
		t.Error(err)
	}
	if got := strings.Join(w.order, " "); got != "d/2026-11-27.mitm.gz d/2026-11-28.mitm.gz" {
		t.Errorf("files: %s", got)
	}
	if a, b := w.flows(t, w.order[0]), w.flows(t, w.order[1]); a != 2 || b != 1 {
		t.Errorf("%d and %d flows", a, b)
	}
}

// TestFull: what doesn't fit onto a disk is counted, and all the rest is whole.
func TestFull(t *testing.T) {
	for _, name := range []string{"f.mitm", "f.mitm.gz", "f.mitm.zst"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			out := w.output(t, name)
			w.write(t, out, 2)
			w.left = 50
			w.write(t, out, 3) // the first of them waits
			w.left = 1 << 30
			w.write(t, out, 1)
			err := out.Close(context.Background(), w.store)
			if err == nil || err.Error() != "-w: 2 flows could not be written" {
				t.Errorf("in the end: %v", err)
			}
			if n := w.flows(t, name); n != 4 {
				t.Errorf("%d flows", n)
			}
			if log := w.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "flows_lost=2") {
				t.Errorf("logged %s", log)
			}
		})
	}
}

// A regular file, of which no more than so much fits onto the disk.
type regular struct {
	b    []byte
	at   int64
	room int
}

func (f *regular) Write(p []byte) (int, error) {
	n := max(min(len(p), f.room-int(f.at)), 0)
	f.b = append(f.b[:min(int(f.at), len(f.b))], append(append([]byte(nil), p[:n]...), f.b[min(int(f.at)+n, len(f.b)):]...)...)
	f.at += int64(n)
	if n < len(p) {
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (f *regular) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		f.at = offset
	case io.SeekEnd:
		f.at = int64(len(f.b)) + offset
	}
	return f.at, nil
}

func (f *regular) Truncate(size int64) error { f.b = f.b[:size]; return nil }
func (f *regular) Close() error              { return nil }

// TestWhole: a HAR file is a document at any time, also while the disk is full, and lost
// is only what it would have had.
func TestWhole(t *testing.T) {
	w := newWorld()
	f := &regular{room: 1 << 20}
	n, err := files.ParseName("f.har")
	if err != nil {
		t.Fatal(err)
	}
	out, err := files.NewOutput(files.OutputOptions{
		Name: n, Open: func(string) (io.WriteCloser, error) { return f, nil }, Option: "--hardump", Now: func() time.Time { return w.now },
		Log: slog.New(slog.NewTextHandler(&w.log, nil)), TakesBack: true,
		Takes: func(_ context.Context, f *flow.Flow) bool { return har.Takes(f) },
		Format: func(to io.Writer) (export.Writer, error) {
			w := har.NewWriter(to, har.Options{})
			return w, w.Start()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	has := func(want int) {
		t.Helper()
		var doc struct{ Log struct{ Entries []any } }
		if err := json.Unmarshal(f.b, &doc); err != nil || len(doc.Log.Entries) != want {
			t.Errorf("%v, and %d entries, want %d, in %s", err, len(doc.Log.Entries), want, f.b)
		}
	}
	conn := &flow.Flow{ID: flow.NewID(w.now), State: flow.Done, Detail: &flow.Connection{}}
	has(0)
	w.write(t, out, 2)
	has(2)
	for range 3 {
		f.room = len(f.b) + 50
		w.write(t, out, 1)
		if err := out.Write(context.Background(), conn, w.store); err != nil {
			t.Error(err)
		}
		has(2)
	}
	f.room = 1 << 20
	w.write(t, out, 1)
	has(3)
	if err := out.Close(context.Background(), w.store); err == nil || err.Error() != "--hardump: 3 flows could not be written" {
		t.Errorf("in the end: %v", err)
	}
	has(3)
	if log := w.log.String(); strings.Count(log, "\n") != 2 || !strings.Contains(log, "flows_lost=3") {
		t.Errorf("logged %s", log)
	}
}

// What does not fit until the end is not there in part.
func TestCutBack(t *testing.T) {
	w := newWorld()
	f := &regular{room: 1 << 20}
	n, _ := files.ParseName("f.mitm")
	out, err := files.NewOutput(files.OutputOptions{
		Name: n, Open: func(string) (io.WriteCloser, error) { return f, nil }, Option: "-w", Now: func() time.Time { return w.now },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
		Format: func(to io.Writer) (export.Writer, error) { return mitm.NewWriter(to, mitm.Options{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, out, 2)
	whole := len(f.b)
	for _, more := range []int{50, 70} { // the second time some more of the first flow fits
		f.room = whole + more
		w.write(t, out, 1)
	}
	if err := out.Close(context.Background(), w.store); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("in the end: %v", err)
	}
	if len(f.b) != whole {
		t.Errorf("%d bytes are there, want %d", len(f.b), whole)
	}
}

// A flow that a file has no place for is not lost with others.
func TestFullTakes(t *testing.T) {
	w := newWorld()
	n, _ := files.ParseName("f.mitm")
	out, err := files.NewOutput(files.OutputOptions{
		Name: n, Open: w.open, Option: "-w", Log: slog.New(slog.NewTextHandler(&w.log, nil)), Now: func() time.Time { return w.now },
		Format: func(to io.Writer) (export.Writer, error) { return mitm.NewWriter(to, mitm.Options{}) },
		Takes:  func(_ context.Context, f *flow.Flow) bool { return mitm.Takes(f, mitm.Newest) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w.left = 50
	w.write(t, out, 2) // the first of them waits
	for _, d := range []flow.Detail{&flow.Connection{}, &flow.HTTP{Request: &flow.RequestHead{Raw: []byte("?")}}} {
		if err := out.Write(context.Background(), &flow.Flow{ID: flow.NewID(w.now), State: flow.Done, Detail: d}, w.store); err != nil {
			t.Error(err)
		}
	}
	w.left = 1 << 30
	w.write(t, out, 1)
	if err := out.Close(context.Background(), w.store); err == nil || err.Error() != "-w: 1 flows could not be written" {
		t.Errorf("in the end: %v", err)
	}
}

// TestReaderGone: nobody comes back to a pipe.
func TestReaderGone(t *testing.T) {
	w := newWorld()
	out := w.output(t, "f")
	w.left, w.err = 10, syscall.EPIPE
	if err := out.Write(context.Background(), w.flow(), w.store); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %v", err)
	}
	if err := out.Close(context.Background(), w.store); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestName(t *testing.T) {
	at := time.Date(2026, 1, 4, 15, 6, 7, 0, time.UTC) // a Sunday
	for pattern, want := range map[string]string{
		"a.mitm": "a.mitm", "+a": "a", "a%%b": "a%b", "%Y-%m-%d/%H%M%S": "2026-01-04/150607", "%F %T": "2026-01-04 15:06:07",
		"%y%j %I%p": "26004 03PM", "%G-W%V-%u-%w": "2026-W01-7-0", "%s": "1767539167", "%a %A %b %B %e": "Sun Sunday Jan January  4",
	} {
		n, err := files.ParseName(pattern)
		if err != nil || n.At(at) != want {
			t.Errorf("%q: %q, %v, want %q", pattern, n.At(at), err, want)
		}
		if rotates := strings.Contains(strings.ReplaceAll(pattern, "%%", ""), "%"); n.Rotates() != rotates {
			t.Errorf("%q: rotates is %v", pattern, n.Rotates())
		}
	}
	for pattern, want := range map[string]string{"": "missing", "+": "missing", "a%": "ends in %", "a%Q": "%Q is not known"} {
		if _, err := files.ParseName(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
	for pattern, want := range map[string]string{"a": ".", "/d/a": "/d", "/d/%Y": "/d", "/d/x%Y/a": "/d", "%Y/a": ".", "/d%%/%Y": "/d%"} {
		n, err := files.ParseName(pattern)
		if err != nil || n.Dir() != want {
			t.Errorf("%q: in %q, %v, want %q", pattern, n.Dir(), err, want)
		}
	}
}

// Only what is known to be of a format promises one: people call files as they like.
func TestFormatOf(t *testing.T) {
	for name, want := range map[string]string{
		"a.mitm": "mitm", "+b.Flow.gz": "mitm", "c-%Y.har.zst": "har", "c.zhar": "har", "d.pcap": "pcapng", "/x.har/e.jsonl": "json",
		"a": "", "flows": "", "a.har/b": "", "b.dump": "", "c.txt": "", "d.2026": "", ".gz": "", "-": "", "&3": "", "/dev/stdout": "",
	} {
		if got := files.FormatOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestHAR: a file of a browser's is one, too.
func TestHAR(t *testing.T) {
	const entry = `{"startedDateTime":"2026-11-27T10:00:00Z","time":1,"request":{"method":"GET","url":"http://a.test/","httpVersion":"HTTP/1.1","headers":[]},` +
		`"response":{"status":200,"statusText":"OK","httpVersion":"HTTP/1.1","headers":[],"content":{"size":0}}}`
	to := store.NewMemory(store.MemoryOptions{})
	if err := files.Read(context.Background(), strings.NewReader(`{"log":{"entries":[`+entry+`]}}`), "f", to); err != nil || to.Stats().Flows != 1 {
		t.Errorf("%d flows, %v", to.Stats().Flows, err)
	}
}

// TestRead: what a file is, it says itself; what it isn't, we say.
func TestRead(t *testing.T) {
	for data, want := range map[string]string{
		"":                  "",
		"12":                "f: offset 2: the file ends in the middle of a flow",
		`{"log":{"a":`:      "f: ",
		"PK":                "f: this is no file of flows that is known here",
		"\x1f\x8b":          "f: ",
		"\x28\xb5\x2f\xfdx": "f, uncompressed: ",
	} {
		err := files.Read(context.Background(), strings.NewReader(data), "f", store.NewMemory(store.MemoryOptions{}))
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", data, err, want)
		}
	}
}
