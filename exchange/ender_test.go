package exchange_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"transom/exchange"
	"transom/flow"
)

type source struct {
	io.Reader
	trailer flow.Header
}

func (s *source) Close() error         { return nil }
func (s *source) Trailer() flow.Header { return s.trailer }

type ender struct {
	strings.Builder
	err     error
	trailer flow.Header
}

func (e *ender) End(err error, trailer flow.Header) {
	if e.err == nil {
		e.err, e.trailer = err, trailer
	}
}

func TestEnder(t *testing.T) {
	trailer := flow.Header{{Name: "X", Value: "1"}}
	cut := errors.New("cut")
	same := func(r io.Reader) io.Reader { return r }
	for _, tc := range []struct {
		name string
		body io.Reader
		use  func(*exchange.Body)
		saw  string
		err  error
	}{
		{"read", strings.NewReader("hello"), func(b *exchange.Body) { io.ReadAll(b) }, "hello", io.EOF},
		{"wrapped", strings.NewReader("hello"), func(b *exchange.Body) { b.Wrap(same); io.ReadAll(b) }, "hello", io.EOF},
		{"buffered", strings.NewReader("hello"), func(b *exchange.Body) { b.Bytes(context.Background(), 9); b.Set(nil) }, "hello", io.EOF},
		{"too-large", strings.NewReader("hello"), func(b *exchange.Body) { b.Bytes(context.Background(), 2); io.ReadAll(b) }, "hello", io.EOF},
		{"failed", io.MultiReader(strings.NewReader("he"), &failing{cut}), func(b *exchange.Body) { io.ReadAll(b) }, "he", cut},
		{"closed", strings.NewReader("hello"), func(b *exchange.Body) { b.Close() }, "", io.ErrClosedPipe},
		{"set", strings.NewReader("hello"), func(b *exchange.Body) { b.Set(nil) }, "", io.ErrClosedPipe},
		{"wrapped-closed", strings.NewReader("hello"), func(b *exchange.Body) { b.Wrap(same); b.Close() }, "", io.ErrClosedPipe},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var e ender
			b := exchange.NewBody(&source{tc.body, trailer}, -1, nil)
			b.Tee(&e)
			tc.use(b)
			if e.String() != tc.saw || e.err != tc.err {
				t.Errorf("saw %q and %v, want %q and %v", e.String(), e.err, tc.saw, tc.err)
			}
			if got := len(e.trailer) == 1; got != (tc.err == io.EOF) {
				t.Errorf("trailer %v", e.trailer)
			}
		})
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
