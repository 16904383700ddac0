package mitm_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"transom/app/mitm"
	"transom/flow"
	"transom/store"
)

// usual is a flow as most are: over TLS, with some fields and a body.
func usual(s *scene) *flow.Flow {
	h := flow.Header{
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},
		{Name: "accept", Value: "application/json"},
		{Name: "cookie", Value: strings.Repeat("c", 200)},
		{Name: "referer", Value: "https://shop.test/list"},
	}
	return &flow.Flow{
		ID: s.id(10), Conn: s.tlsConn(), Start: s.at(10), End: s.at(20), State: flow.Done,
		Detail: &flow.HTTP{
			Request:      &flow.RequestHead{Method: "GET", Scheme: "https", Authority: "shop.test", Target: "/api/items?page=2", Proto: flow.HTTP2, Header: h},
			Response:     &flow.ResponseHead{Status: 200, Proto: flow.HTTP2, Header: flow.Header{{Name: "content-type", Value: "application/json"}, {Name: "date", Value: "now"}}},
			ResponseBody: s.body(strings.Repeat("x", 4096)), FirstByte: s.at(15),
		},
	}
}

func BenchmarkWrite(b *testing.B) {
	s := newScene(b)
	f := usual(s)
	w, err := mitm.NewWriter(io.Discard, mitm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(context.Background(), f, s.Memory); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}

func BenchmarkRead(b *testing.B) {
	s := newScene(b)
	s.add(usual(s))
	file := bytes.Repeat(written(b, s, 0), 100)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if err := mitm.Read(context.Background(), bytes.NewReader(file), &drain{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}

// A drain is a sink that keeps nothing.
type drain struct{ hole }

func (*drain) Put(context.Context, *flow.Flow) error { return nil }
func (d *drain) NewBody() store.BodyWriter           { return d.hole }

type hole struct{}

func (hole) Write(p []byte) (int, error) { return len(p), nil }
func (hole) Close() error                { return nil }
func (hole) Ref() flow.BodyRef           { return flow.BodyRef{} }
