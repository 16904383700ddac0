package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
)

// index fills the index of a store, reads it, and opens it again: SQLite makes system
// calls of its own, and locks and maps files.
func (b *bench) index() error {
	path := filepath.Join(b.dir, "index")
	for round := range 3 {
		x, err := index.Open(path, index.Options{})
		if err != nil {
			return err
		}
		if err := errors.Join(fill(x, round), x.Close()); err != nil {
			return err
		}
	}
	return index.Reset(path)
}

func fill(x *index.Index, round int) error {
	for i := range 5000 {
		f := &flow.Flow{ID: flow.ID{byte(round), byte(i >> 8), byte(i)}, Conn: &flow.Conn{Host: "a.example"}, Detail: &flow.Connection{}}
		at := segment.Position{Segment: uint64(round + 1), Offset: int64(i)}
		e := []index.Entry{index.Put{Flow: f, Position: at}, index.Text{Number: uint64(i), Text: []byte("some words")}}
		if err := x.Apply(context.Background(), e, at); err != nil {
			return err
		}
	}
	s, err := x.Stats(context.Background())
	if want := int64(5000 * (round + 1)); err == nil && s.Flows != want {
		err = fmt.Errorf("%d flows are indexed, want %d", s.Flows, want)
	}
	return err
}
