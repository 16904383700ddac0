package control

import (
	"bufio"
	"bytes"
	"testing"

	"transom/flow"
)

// An answer comes from a process that may be anything.
func FuzzAnswer(f *testing.F) {
	var b bytes.Buffer
	a := &answer{w: bufio.NewWriter(&b)}
	a.flow(&flow.Flow{
		ID:     flow.ID{1},
		Conn:   &flow.Conn{Layers: []flow.Layer{{TLS: &flow.TLS{Hello: []byte("hello")}}}},
		Detail: &flow.HTTP{Request: &flow.RequestHead{Method: "GET"}},
	})
	a.frame(doubtFrame, []byte("why"))
	a.flow(&flow.Flow{ID: flow.ID{2}})
	a.frame(endFrame, nil)
	if err := a.w.Flush(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("f\xff\xff\xff\x0f"))
	f.Add([]byte("gb\x01"))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := decoder{r: bufio.NewReader(bytes.NewReader(in)), doubt: func(f *flow.Flow, err error) {
			if f == nil || err == nil {
				t.Error("a doubt of nothing")
			}
		}}
		for range len(in) + 1 {
			if f, err := d.next(); err != nil {
				return
			} else if f == nil {
				t.Fatal("no flow and no error")
			}
		}
		t.Error("more flows than bytes")
	})
}
