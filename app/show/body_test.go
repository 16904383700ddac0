package show_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"transom/app/show"
	"transom/flow"
	"transom/store"
)

// shownBody prints one answer with this body.
func shownBody(t *testing.T, detail int, kind, body string) string {
	t.Helper()
	s := &scene{store: store.NewMemory(store.MemoryOptions{})}
	defer s.store.Close()
	h := get("/")
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: kind}}
	h.ResponseBody = s.body([]byte(body))
	return run(t, show.Options{Detail: detail, Store: s.store}, s.add(conn(), h, ""))
}

// What a view shows is bounded by what it makes of a body, not by the body.
func TestFormattedBodiesAreCutShort(t *testing.T) {
	const all = "all is shown from --flow-detail 4"
	numbers := "[" + strings.Repeat("1,", 500) + "2]"
	long := `{"a":"` + strings.Repeat("é", 3000) + `"}`
	for _, tc := range []struct{ name, body string }{{"rows", numbers}, {"columns", long}} {
		t.Run(tc.name, func(t *testing.T) {
			got := shownBody(t, 3, "application/json", tc.body)
			if !strings.Contains(got, all) || len(got) > 4<<10 || strings.Contains(got, `\x`) || strings.Count(got, "\n") > 60 {
				t.Errorf("at detail 3 of %d bytes:\n%s", len(tc.body), got)
			}
			if got = shownBody(t, 4, "application/json", tc.body); strings.Contains(got, all) || len(got) < len(tc.body) {
				t.Errorf("at detail 4 of %d bytes:\n%s", len(tc.body), got)
			}
		})
	}
}

// TestLargerThanShown: of a body that is past all bounds the bound is named.
func TestLargerThanShown(t *testing.T) {
	s := &scene{store: store.NewMemory(store.MemoryOptions{BodyLimit: 80 << 20, MaxBytes: 160 << 20})}
	defer s.store.Close()
	h := get("/")
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/plain"}}
	h.ResponseBody = s.body(bytes.Repeat([]byte{'x'}, 64<<20+1))
	f := s.add(conn(), h, "")
	for detail, want := range map[int]string{
		3: "(64.0m in all, the first 64.0m are shown from --flow-detail 4: flows export has all of it)\n",
		4: "(64.0m in all, of which the first 64.0m are shown: flows export has all of it)\n",
	} {
		var end tail
		if err := show.Run(t.Context(), &end, seq(f), show.Options{Detail: detail, Store: s.store}); err != nil || !strings.HasSuffix(string(end), want) {
			t.Errorf("detail %d ends in %s: %v", detail, end, err)
		}
	}
}

// A tail is the end of what was written to it.
type tail []byte

func (t *tail) Write(p []byte) (int, error) {
	*t = append((*t)[:0], p[max(0, len(p)-200):]...)
	return len(p), nil
}

// What became of the codings of a body is said.
func TestCodings(t *testing.T) {
	zip := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, s)
		_ = z.Close()
		return b.String()
	}
	whole := zip("the text")
	for name, tc := range map[string]struct {
		coding, body string
		want         []string
	}{
		"one":      {"gzip", whole, []string{"      the text\n", ", shown as decoded from gzip)"}},
		"two":      {"gzip, GZIP", zip(whole), []string{"      the text\n", ", shown as decoded from gzip, gzip)"}},
		"none":     {"identity", "the text", []string{"      the text\n", "(8b in all)"}},
		"unknown":  {"pack200-gzip", "the text", []string{"      the text\n", `, not decoded: undo content coding "pack200-gzip"`}},
		"other":    {"gzip", "no gzip at all", []string{"      no gzip at all\n", `, not decoded: undo content coding "gzip": gzip: invalid header`}},
		"corrupt":  {"gzip", whole[:len(whole)-4] + "\x00\x00\x00\x00", []string{"      the text\n", "shown as decoded from gzip, which breaks off: gzip: invalid checksum"}},
		"of-empty": {"gzip", zip(""), []string{", shown as decoded from gzip)"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scene{store: store.NewMemory(store.MemoryOptions{})}
			defer s.store.Close()
			h := get("/")
			h.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Content-Encoding", Value: tc.coding}}
			h.ResponseBody = s.body([]byte(tc.body))
			got := run(t, show.Options{Detail: 4, Store: s.store}, s.add(conn(), h, ""))
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

// damaged is a store of which bodies can be read up to a place, and not from there on.
type damaged struct {
	store.Store
	from int64
	err  error
}

func (d *damaged) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	r, err := d.Store.OpenBody(ctx, ref)
	return &damagedBody{r, d, d.from}, err
}

type damagedBody struct {
	io.ReadSeekCloser
	of   *damaged
	left int64
}

func (b *damagedBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.of.err
	}
	n, err := b.ReadSeekCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// What can't be read of a body is said in its place.
func TestDamagedBodies(t *testing.T) {
	broken := errors.New("0000000001.seg: damaged")
	for _, tc := range []struct {
		name, coding string
		from         int64
		err          error
		want         string
	}{
		{"all", "", 0, broken, "< 8b: can't be read: 0000000001.seg: damaged\n"},
		{"the rest", "", 5, broken, "      the t\n    < (8b in all, what follows can't be read: 0000000001.seg: damaged)\n"},
		{"all of a coded one", "gzip", 0, broken, "< 8b: can't be read: 0000000001.seg: damaged\n"},
		{"dropped", "", 0, store.ErrGone, "< 8b: is " + store.ErrGone.Error() + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &scene{store: store.NewMemory(store.MemoryOptions{})}
			defer s.store.Close()
			h := get("/")
			h.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Content-Encoding", Value: tc.coding}}
			h.ResponseBody = s.body([]byte("the text"))
			got := run(t, show.Options{Detail: 4, Store: &damaged{s.store, tc.from, tc.err}}, s.add(conn(), h, ""))
			if !strings.Contains(got, tc.want) {
				t.Errorf("no %q in\n%s", tc.want, got)
			}
		})
	}
}

// A long line goes out in pieces, and comes out whole.
func TestLongLine(t *testing.T) {
	s := &scene{store: store.NewMemory(store.MemoryOptions{MaxBytes: 64 << 20, BodyLimit: 64 << 20})}
	defer s.store.Close()
	body := strings.Repeat("é", 5<<20) + "\xff"
	h := get("/")
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/plain"}}
	h.ResponseBody = s.body([]byte(body))
	var out pieces
	if err := show.Run(t.Context(), &out, seq(s.add(conn(), h, "")), show.Options{Detail: 4, Store: s.store, View: "text"}); err != nil {
		t.Fatal(err)
	}
	if out.most > 2<<20 || !strings.Contains(out.String(), strings.TrimSuffix(body, "\xff")+`\xff`+"\n") {
		t.Errorf("%d bytes, at most %d at once", out.Len(), out.most)
	}
}

// pieces know how large the largest write was.
type pieces struct {
	bytes.Buffer
	most int
}

func (p *pieces) Write(b []byte) (int, error) {
	p.most = max(p.most, len(b))
	return p.Buffer.Write(b)
}
