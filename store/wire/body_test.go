package wire_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

func TestBodiesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint64()
		c := wire.Chunk{Number: number.Draw(t, "number"), Offset: rapid.Int64().Draw(t, "offset"), Whole: rapid.Bool().Draw(t, "whole"), Data: []byte(rapid.String().Draw(t, "data"))}
		if got, err := wire.ReadChunk(wire.AppendChunk(nil, &c)); err != nil || !cmp.Equal(c, got, equal) {
			t.Fatal(got, err)
		}
		b := wire.Body{Number: number.Draw(t, "number")}
		for range rapid.IntRange(0, 5).Draw(t, "extents") {
			at := segment.Position{Segment: number.Draw(t, "segment"), Offset: rapid.Int64Min(0).Draw(t, "offset")}
			b.Extents = append(b.Extents, wire.Extent{Position: at, Length: rapid.Int64Min(1).Draw(t, "length")})
		}
		if rapid.Bool().Draw(t, "summed") {
			b.Sum[3] = 7
		}
		if got, err := wire.ReadBody(wire.AppendBody(nil, &b)); err != nil || !cmp.Equal(b, got, equal) {
			t.Fatal(got, err)
		}
		id := flow.NewID(time.Now())
		gone := wire.Deleted{ID: id, Bodies: []uint64{0, 7, 0, 9}}
		for range rapid.IntRange(0, 3).Draw(t, "dead") {
			gone.Dead = append(gone.Dead, wire.Dead{Segment: number.Draw(t, "segment"), Bytes: rapid.Int64Min(1).Draw(t, "bytes")})
		}
		got, err := wire.ReadDeleted(wire.AppendDeleted(nil, &gone))
		if gone.Bodies = []uint64{7, 9}; err != nil || !cmp.Equal(got, gone, equal) {
			t.Fatal(got, err)
		}
	})
}

func FuzzReadBody(f *testing.F) {
	f.Add(wire.AppendBody(nil, &wire.Body{Number: 1, Extents: []wire.Extent{{Position: segment.Position{Segment: 1, Offset: 64}, Length: 5}}}))
	f.Add(wire.AppendChunk(nil, &wire.Chunk{Number: 1, Data: []byte("hello")}))
	f.Add(wire.AppendDeleted(nil, &wire.Deleted{ID: flow.ID{1}, Bodies: []uint64{1, 2}, Dead: []wire.Dead{{Segment: 3, Bytes: 500}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := wire.ReadBody(b); err == nil {
			again, err := wire.ReadBody(wire.AppendBody(nil, &got))
			if err != nil || !cmp.Equal(got, again, equal) {
				t.Fatal(got, again, err)
			}
		}
		wire.ReadChunk(b)
		wire.ReadDeleted(b)
		for kind := range uint8(8) {
			_ = b[:wire.Gist(kind, b)]
		}
	})
}

// TestGist: of its gist each record reads as of all of it.
func TestGist(t *testing.T) {
	f := &flow.Flow{ID: flow.ID{1, 15: 9}, Rev: 1 << 30, State: flow.Failed, Err: "so it is"}
	deleted := wire.AppendDeleted(nil, &wire.Deleted{ID: f.ID, Bodies: []uint64{7, 0, 1 << 62}, Dead: []wire.Dead{{Segment: 9, Bytes: 1 << 40}}})
	for _, c := range []struct {
		kind uint8
		b    []byte
		read func(b []byte) (any, error)
	}{
		{wire.KindFlow, wire.AppendFlow(nil, f, 1<<63), func(b []byte) (any, error) {
			id, rev, state, err := wire.ReadState(b)
			return []any{id, rev, state}, err
		}},
		{wire.KindChunk, wire.AppendChunk(nil, &wire.Chunk{Number: 1 << 62, Offset: 1 << 40, Whole: true}), func(b []byte) (any, error) {
			c, err := wire.ReadChunk(b)
			return []any{c.Number, c.Offset, c.Whole, len(c.Data)}, err
		}},
		{wire.KindBody, wire.AppendBody(nil, &wire.Body{Number: 1 << 62, Extents: []wire.Extent{{Length: 1}}}), func(b []byte) (any, error) { return wire.ReadNumber(b) }},
		{wire.KindDeleted, deleted, func(b []byte) (any, error) { return wire.ReadDeleted(b) }},
	} {
		n := wire.Gist(c.kind, c.b)
		want, err := c.read(c.b)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.read(c.b[:n:n])
		if err != nil || !reflect.DeepEqual(got, want) || n > 40 && c.kind != wire.KindDeleted {
			t.Errorf("kind %d, %d of %d bytes: %v, want %v, %v", c.kind, n, len(c.b), got, want, err)
		}
	}
	if n := wire.Gist(wire.KindChunk, wire.AppendChunk(nil, &wire.Chunk{Data: deleted})); n != 4 {
		t.Errorf("%d bytes of a chunk", n)
	}
	if n := wire.Gist(wire.KindBlob, deleted) + wire.Gist(wire.KindConn, deleted); n != 0 {
		t.Errorf("%d bytes of what nobody asks for", n)
	}
}
