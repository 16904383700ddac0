package message_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"transom/message"
)

func encode(es []message.Entry) []byte {
	var out []byte
	var before time.Duration
	for i := range es {
		out = message.AppendHead(out, &es[i], before)
		out = append(out, es[i].Payload...)
		before = es[i].At
	}
	return out
}

func decode(log []byte) (es []message.Entry, err error) {
	for e, err := range message.ReadLog(bytes.NewReader(log)) {
		if err != nil {
			return es, err
		}
		e.Payload = slices.Clone(e.Payload)
		es = append(es, e)
	}
	return es, nil
}

func TestLogBytes(t *testing.T) {
	es := []message.Entry{
		{Dir: message.ToServer, At: 5, Size: 2, Payload: []byte("hi")},
		{Dir: message.ToClient, Op: 9, Changed: true, At: 305, Size: 0},
		{Dir: message.ToClient, Dropped: true, At: 305, Size: 1, Payload: []byte("x")},
		{Op: 1, Injected: true, Encoded: true, At: 306, Size: 300, Cut: 299, Payload: []byte("y")},
	}
	want := []byte{0, 5, 2, 'h', 'i', 0x83, 9, 0xac, 2, 0, 5, 0, 1, 'x', 0xb8, 1, 1, 0xac, 2, 1, 'y'}
	if got := encode(es); !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

func TestLogRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var es []message.Entry
		var at time.Duration
		for range rapid.IntRange(0, 6).Draw(t, "n") {
			at += time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "elapsed"))
			p := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload")
			left := int64(rapid.SampledFrom([]int{0, 1000}).Draw(t, "cut"))
			es = append(es, message.Entry{
				Dir: message.Direction(rapid.IntRange(0, 1).Draw(t, "dir")),
				Op:  rapid.Uint8().Draw(t, "op"), Changed: rapid.Bool().Draw(t, "changed"),
				Dropped: rapid.Bool().Draw(t, "dropped"), Injected: rapid.Bool().Draw(t, "injected"),
				Encoded: rapid.Bool().Draw(t, "encoded"), At: at,
				Size: int64(len(p)) + left, Cut: left, Payload: p,
			})
		}
		log := encode(es)
		got, err := decode(log)
		same := cmp.Comparer(bytes.Equal)
		if diff := cmp.Diff(es, got, same); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
		// Cut anywhere, what was whole before stays as it was.
		cut, err := decode(log[:rapid.IntRange(0, len(log)).Draw(t, "cut")])
		if err != nil {
			t.Fatal(err)
		}
		for i := range cut {
			e := es[i]
			e.Payload = e.Payload[:len(cut[i].Payload)]
			if diff := cmp.Diff(e, cut[i], same); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestLogMalformed(t *testing.T) {
	for name, log := range map[string][]byte{
		"flags":    {0x40, 0, 0},
		"elapsed":  {0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 0},
		"overflow": {0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0},
		"kept":     {0x20, 0, 1, 2, 'x', 'y'},
		"size":     {0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if es, err := decode(log); err == nil {
				t.Errorf("read as %v", es)
			}
		})
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 5, 2, 'h', 'i', 0x83, 9, 0xac, 2, 0})
	f.Add([]byte{0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 127, 'x'})
	f.Fuzz(func(t *testing.T, log []byte) {
		es, err := decode(log)
		if err != nil {
			return
		}
		again, err := decode(encode(es))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(es, again, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Fatal(diff)
		}
	})
}
