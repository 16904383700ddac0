package record_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"transom/exchange"
	"transom/flow"
)

// An endless source gives data until it is closed.
type endless struct {
	once sync.Once
	gone chan struct{}
}

func (e *endless) Read(p []byte) (int, error) {
	select {
	case <-e.gone:
		return 0, io.ErrClosedPipe
	default:
		return len(p), nil
	}
}

func (e *endless) Close() error {
	e.once.Do(func() { close(e.gone) })
	return nil
}

func (e *endless) Trailer() flow.Header { return nil }

// Streams of one connection run side by side and are closed by others than
// their readers, while the connection ends. Each flow still ends once.
func TestStreamsAtOnce(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	var up sync.WaitGroup
	h := c.HTTP(exchange.Chain())(exchange.HandlerFunc(func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
		up.Go(func() { io.Copy(io.Discard, req.Body) })
		return response(200, exchange.NewBody(&endless{gone: make(chan struct{})}, -1, nil)), nil
	}))
	var wg sync.WaitGroup
	const streams = 8
	for i := range streams {
		wg.Go(func() {
			req := request("POST", exchange.NewBody(&endless{gone: make(chan struct{})}, -1, nil))
			req.Proto = flow.HTTP2
			resp, err := h.Exchange(context.Background(), req)
			if err != nil {
				t.Error(err)
				return
			}
			buf := make([]byte, 1000)
			var closers sync.WaitGroup
			for n := 0; ; n++ {
				if n == 10 {
					closers.Go(func() { resp.Body.Close() })
					if i%2 == 0 {
						closers.Go(func() { req.Body.Close() })
					}
				}
				if _, err := resp.Body.Read(buf); err != nil {
					break
				}
			}
			closers.Wait()
			req.Body.Close()
		})
	}
	wg.Wait()
	up.Wait()
	c.End(nil, flow.Connection{}, errors.New("gone"))
	ends := map[flow.ID]int{}
	for _, f := range s.take() {
		if f.Type() == "http" && f.State != flow.Open {
			ends[f.ID]++
		}
	}
	for id, n := range ends {
		if n != 1 {
			t.Errorf("%v ended %d times", id, n)
		}
	}
	if len(ends) != streams {
		t.Errorf("%d of %d ended", len(ends), streams)
	}
}

// What a handler derives from the exchange's context costs no goroutine, and
// ends with the connection's.
func TestContext(t *testing.T) {
	r, _ := newRecorder(t)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("why")
	h := r.Conn(newInfo()).HTTP(nil)(exchange.HandlerFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
		child, stop := context.WithCancel(ctx)
		defer stop()
		cancel(why)
		if child.Err() == nil { // with a goroutine between, it would come later
			t.Error("the child goes on")
		}
		return nil, context.Cause(child)
	}))
	if _, err := h.Exchange(ctx, request("GET", exchange.NoBody())); !errors.Is(err, why) {
		t.Errorf("%v", err)
	}
}
