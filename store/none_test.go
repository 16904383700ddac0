package store_test

import (
	"errors"
	"testing"

	"transom/flow"
	"transom/store"
)

func TestNone(t *testing.T) {
	var s store.None
	w := s.NewBody()
	if got, err := open(s, w.Ref()); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	write(t, w, []byte("hello"))
	put(t, s, httpFlow(id(1), 0, flow.Done, w.Ref()))
	w.Close()
	if ref := w.Ref(); ref.Size != 5 || ref.Kept != 0 || !ref.Truncated {
		t.Errorf("%+v", ref)
	}
	if _, err := open(s, w.Ref()); !errors.Is(err, store.ErrGone) {
		t.Error(err)
	}
	if got := ids(t, s, store.Query{}); len(got) != 0 {
		t.Error(got)
	}
}
