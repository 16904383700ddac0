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
