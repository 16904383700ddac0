package view_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transom/app/view"
)

var update = flag.Bool("update", false, "rewrite golden files")

// A specimen is a body and what is known of it.
type specimen struct {
	name  string
	about view.About
	view  string // that is asked for
	body  string

	schema *view.Schema
}

// golden compares what each specimen is shown as with its file.
func golden(t *testing.T, all []specimen) {
	t.Helper()
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			got := shown(t, t.Context(), s)
			name := filepath.Join("testdata", s.name+".txt")
			if *update {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// shown returns the view's name and its lines.
func shown(t testing.TB, ctx context.Context, s specimen) string {
	t.Helper()
	v, err := view.Of(ctx, s.about, []byte(s.body), view.Options{View: s.view, Schema: s.schema})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("[" + v.Name + "]\n")
	for line := range v.Lines {
		for _, token := range line {
			quoted := strconv.QuoteToGraphic(token.Text)
			b.WriteString(strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// fuzz feeds a view with anything: it ends, doesn't panic, and gives no more
// lines than bytes warrant.
func fuzz(f *testing.F, name string, about view.About, seeds ...string) {
	f.Helper()
	for _, s := range seeds {
		f.Add([]byte(s), false)
		f.Add([]byte(s[:len(s)/2]), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, cut bool) {
		about := about
		about.Cut = cut
		for _, ask := range []string{name, "auto"} {
			v, err := view.Of(t.Context(), about, body, view.Options{View: ask})
			if err != nil {
				t.Fatal(err)
			}
			lines := 0
			for line := range v.Lines {
				if lines++; lines > 64*len(body)+256 {
					t.Fatalf("%d lines of %d bytes", lines, len(body))
				}
				for _, token := range line {
					if strings.Contains(token.Text, "\n") && token.Kind == view.Plain {
						t.Fatalf("a line break in %q", token.Text)
					}
				}
			}
			for range v.Lines { // who has enough may stop
				break
			}
		}
	})
}

// bench shows a megabyte.
func bench(b *testing.B, s specimen) {
	body := []byte(strings.Repeat(s.body, (1<<20+len(s.body)-1)/len(s.body)))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		v, err := view.Of(b.Context(), s.about, body, view.Options{View: s.view, Schema: s.schema})
		if err != nil {
			b.Fatal(err)
		}
		for range v.Lines {
		}
	}
}

func TestUnknownViewIsAnError(t *testing.T) {
	_, err := view.Of(t.Context(), view.About{}, nil, view.Options{View: "nonsense"})
	if !errors.Is(err, view.ErrUnknown) || !strings.Contains(err.Error(), "json") {
		t.Errorf("got %v, want one that names the views there are", err)
	}
}

func TestLinesEndWithTheContext(t *testing.T) {
	for _, name := range view.Names() {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			body := strings.Repeat("a=1&", 1<<18)
			v, err := view.Of(ctx, view.About{Target: "/?" + body}, []byte(body), view.Options{View: name})
			if err != nil {
				t.Fatal(err)
			}
			lines := 0
			for range v.Lines {
				lines++
			}
			if lines > 1024 {
				t.Errorf("%d lines after the end", lines)
			}
		})
	}
}

// long are bodies that have many lines in a view, or that it has long to do with.
var long = map[string]string{
	"grpc": frame(0, message()), "grpc-web-text": "AAAAAAIIAQ==", "protobuf": message(), "json": "[1,2],", "ndjson": "{\"a\":1}\n", "sse": "data: {\"a\":1}\n\n",
	"msgpack": msgpacked, "cbor": cborred, "socket.io": ioed + "\x1e", "mqtt": mqttOld, "html": "<p>a</p>", "xml": "<a>b</a>", "css": "a{b:c}",
	"certificate": "-----BEGIN A-----\nAAAA\n-----END A-----\n", "javascript": "a(1);", "form": "a=1&", "multipart": "--xyz\r\n\r\na\r\n", "query": "a\n", "text": "a\n", "hex": "a\n",
	"graphql": "fragment F on T { a } ", "image": "\x00\x00\x00\x00tEXt\x00\x00\x00\x00", "jwt": "a\n", "dns": "a\n",
}

// What takes too long is given up, and says so.
func TestViewsAreGivenUp(t *testing.T) {
	for _, name := range view.Names() {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
			defer cancel()
			body := strings.Repeat(long[name], 1<<16/len(long[name]))
			switch name {
			case "json":
				body = "[" + body
			case "image":
				body = "\x89PNG\r\n\x1a\n" + chunk("IHDR", "\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00") + body
			}
			got := shown(t, ctx, specimen{view: name, about: view.About{Type: "multipart/mixed; boundary=xyz", Target: "/?a"}, body: body})
			lines := strings.Split(strings.TrimSpace(got), "\n")
			if last := lines[len(lines)-1]; len(lines) > 1024 || !strings.Contains(last, "given up here") {
				t.Errorf("%d lines, the last is %.100q", len(lines), last)
			}
		})
	}
}

// A line is bounded, however much of a body is on one.
func TestLongLines(t *testing.T) {
	for _, s := range []specimen{{view: "javascript", body: strings.Repeat("a+", 1<<16)}, {view: "css", body: strings.Repeat("a>", 1<<16)}} {
		v, err := view.Of(t.Context(), s.about, []byte(s.body), view.Options{View: s.view})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for line := range v.Lines {
			if n++; len(line) > 4<<10 {
				t.Errorf("%s: a line of %d tokens", s.view, len(line))
			}
		}
		if n < 16 {
			t.Errorf("%s: %d lines", s.view, n)
		}
	}
}

// Every view has a fuzz target.
func TestEveryViewIsFuzzed(t *testing.T) {
	names, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests []byte
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, b...)
	}
	for _, name := range view.Names() {
		if !strings.Contains(string(tests), `fuzz(f, "`+name+`"`) {
			t.Errorf("%s has none", name)
		}
	}
}

func TestKinds(t *testing.T) {
	v, err := view.Of(t.Context(), view.About{Type: "application/json"}, []byte(`{"a":["b",1.50,null]}`), view.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []view.Token
	for line := range v.Lines {
		for _, token := range line {
			if token.Kind != view.Plain {
				got = append(got, token)
			}
		}
	}
	want := []view.Token{{view.Key, `"a"`}, {view.String, `"b"`}, {view.Number, "1.50"}, {view.Word, "null"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
