package record_test

import (
	"context"
	"io"
	"testing"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/bus"
	"transom/internal/engine/record"
	"transom/store"
)

// chain returns what one exchange costs: with the recorder, and without.
func chain(body bool) (with, without func()) {
	var (
		reqBody, respBody exchange.Body
		src               repeated
		req               = request("GET", &reqBody)
		resp              = response(200, &respBody)
		interim           = func(flow.ResponseHead) error { return nil }
		ctx               = context.Background()
		buf               = make([]byte, 32<<10)
	)
	end := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		if body {
			src.left = 64 << 10
			respBody.Reset(&src, src.left, nil)
		} else {
			respBody.Reset(nil, 0, nil)
		}
		return resp, nil
	})
	r := &record.Recorder{Bus: new(bus.Bus), Store: store.NewMemory(store.MemoryOptions{})}
	recorded := r.Conn(newInfo()).HTTP(nil)(end)
	run := func(h exchange.Handler) func() {
		return func() {
			reqBody.Reset(nil, 0, nil)
			req.Interim = interim
			resp, err := h.Exchange(ctx, req)
			if err != nil {
				panic(err)
			}
			for {
				if _, err := resp.Body.Read(buf); err != nil {
					break
				}
			}
			resp.Body.Close()
		}
	}
	return run(recorded), run(end)
}

// repeated is a source that can be used again.
type repeated struct{ left int64 }

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), r.left)
	r.left -= n
	return int(n), nil
}
func (r *repeated) Close() error         { return nil }
func (r *repeated) Trailer() flow.Header { return nil }

func TestAllocations(t *testing.T) {
	with, without := chain(false)
	n := testing.AllocsPerRun(2000, with) - testing.AllocsPerRun(2000, without)
	if n > 5 {
		t.Errorf("recording an exchange without bodies costs %v allocations", n)
	}
	t.Logf("%v allocations an exchange", n)
}

func BenchmarkExchange(b *testing.B) {
	for _, body := range []bool{false, true} {
		name := "without-body"
		if body {
			name = "64KiB"
		}
		b.Run(name, func(b *testing.B) {
			with, _ := chain(body)
			b.ReportAllocs()
			for b.Loop() {
				with()
			}
		})
	}
}

func BenchmarkMessage(b *testing.B) {
	r := &record.Recorder{Bus: new(bus.Bus), Store: store.NewMemory(store.MemoryOptions{})}
	m := r.Conn(newInfo()).Messages(newInfo(), nil)
	h := m.Middleware()(discard)
	b.ReportAllocs()
	for b.Loop() {
		say(h, 0, "hello")
	}
	m.End(flow.FIN, flow.FIN)
}
