// Package record turns live traffic into flows: it keeps them in the store and
// tells the bus. It stands outermost and innermost in every chain of
// middleware, so that it sees what came and what was sent, and it never makes
// traffic wait or fail.
//
// A connection is recorded like this:
//
//	c := recorder.Conn(info)
//	c.Await(within)                         // if somebody will call c.Owned or c.Known
//	c.Update(info)                          // as more is found out
//	handler := c.HTTP(middleware)(upstream) // for each request: a flow
//	m := c.Messages(info, middleware)       // or for raw TCP: one flow
//	relay(m.Middleware())
//	m.End(clientEnd, serverEnd)
//	h := HandshakeOf(ctx)                   // in a Takeover: what began it
//	m := c.Begun(h, "websocket", info, nil)
//	c.Refused(raw, 400, err)                // a request that was none
//	c.Tend(now)                             // each second, from anywhere
//	c.End(info, flow.Connection{…}, err)    // always, last
//	c.Settle()                              // if there was Await
//
// A flow is published when it starts and when it ends, as snapshots with rising
// Rev; who follows the bus also gets snapshots while it grows. An exchange ends when both bodies have: the codec reads them to io.EOF
// or closes them. What has not ended when the connection does, ends with it.
//
// Heads are kept as they are given: their strings, header fields and Raw must
// not change afterwards. A codec allocates them anew for each message.
package record

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"transom/flow"
	"transom/internal/engine/bus"
	"transom/store"
)

// A Recorder records the connections of one proxy. Each of its fields may be
// nil: without a Store no bodies are kept. They must not be changed while it is
// used.
type Recorder struct {
	Bus   *bus.Bus
	Store store.Store
	Log   *slog.Logger

	lost    atomic.Int64 // flows the store did not take
	failing atomic.Bool
	mu      sync.Mutex
	episode int64 // flows lost since the store began to fail; guarded by mu
}

// Lost returns how many snapshots the store did not take.
func (r *Recorder) Lost() int64 { return r.lost.Load() }

// publish keeps f and tells of it.
func (r *Recorder) publish(f *flow.Flow) {
	r.keep(f)
	r.Bus.Publish(f)
}

// keep puts f into the store.
func (r *Recorder) keep(f *flow.Flow) {
	if r.Store != nil {
		// The flow is to be kept even though its connection has ended.
		if err := r.Store.Put(context.Background(), f); err != nil {
			r.putFailed(f, err)
		} else if r.failing.Load() {
			r.putWorks()
		}
	}
}

// putFailed counts a flow that was not kept, and says so once an episode.
func (r *Recorder) putFailed(f *flow.Flow, err error) {
	r.lost.Add(1)
	r.mu.Lock()
	r.episode++
	r.mu.Unlock()
	if !r.failing.Swap(true) && r.Log != nil {
		r.Log.Warn("flows are not kept: the store refuses them", "flow", f.ID.String(), "err", err)
	}
}

func (r *Recorder) putWorks() {
	if !r.failing.Swap(false) {
		return
	}
	r.mu.Lock()
	n := r.episode
	r.episode = 0
	r.mu.Unlock()
	if r.Log != nil {
		r.Log.Info("flows are kept again", "lost", n)
	}
}
