package record

import (
	"sync"
	"time"

	"transom/flow"
)

// Who a client is, which program of this host or which device, is found out beside its
// traffic. What begins is published without, if that is not known yet. What ends waits
// for it a little: it is in the store, and nobody but its subscribers waits.

// heldMost is how many flows of a connection that have ended may wait to be published.
const heldMost = 64

// A client is that of a connection, and of those within it.
type client struct {
	mu      sync.Mutex
	process *flow.Process // nil until it is known
	device  *flow.Device  // likewise
	told    bool          // it is known, or it is too late
	settled chan struct{} // closed when nothing waits any more
	over    bool          // that it is
	held    []held
	late    *time.Timer

	from, to *flow.Conn // a connection without and with what is known
}

// held is a flow, and its recorder.
type held struct {
	r *Recorder
	f *flow.Flow
}

// Await says that Owned or Known will tell who the client is, and for how long flows wait
// for it. It is called before there are any; Settle is called after End.
func (c *Conn) Await(within time.Duration) {
	who := &client{settled: make(chan struct{})}
	c.client = who
	who.mu.Lock() // settle may come before late is there
	who.late = time.AfterFunc(within, func() { who.settle(nil, nil) })
	who.mu.Unlock()
}

// Owned tells which program the client is, nil if that can't be known. Any goroutine may
// call it, at any time.
func (c *Conn) Owned(process *flow.Process) { c.client.settle(process, nil) }

// Known tells which device the client is, like Owned.
func (c *Conn) Known(device *flow.Device) { c.client.settle(nil, device) }

// Settle waits until what has ended is published.
func (c *Conn) Settle() { <-c.client.settled }

// Within begins to record a connection within c's, as Recorder.Conn does.
func (c *Conn) Within(info *flow.Conn) *Conn {
	return &Conn{r: c.r, info: info, client: c.client}
}

// publish publishes f, with who the client is.
func (c *Conn) publish(f *flow.Flow) {
	if c.client == nil {
		c.r.publish(f)
		return
	}
	if f.State != flow.Open && c.client.waits() {
		c.r.keep(f) // what it refers to is the store's from now on
		if c.client.hold(held{c.r, f}) {
			return
		}
	}
	c.client.publish(held{c.r, f})
}

// with is a connection with who its client is, as far as that is known.
func (c *Conn) with(info *flow.Conn) *flow.Conn {
	if c.client == nil || info == nil {
		return info
	}
	return c.client.with(info)
}

func (w *client) waits() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.over && len(w.held) < heldMost
}

// hold has f wait, if there is anything to wait for.
func (w *client) hold(f held) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || len(w.held) >= heldMost {
		return false
	}
	w.held = append(w.held, f)
	return true
}

func (w *client) with(info *flow.Conn) *flow.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	process := w.process != nil && info.Process == nil
	device := w.device != nil && info.Device == nil
	if !process && !device {
		return info
	}
	if w.from != info {
		w.from, w.to = info, info
		if process {
			w.to = w.to.WithProcess(w.process)
		}
		if device {
			w.to = w.to.WithDevice(w.device)
		}
	}
	return w.to
}

// publish publishes a copy: others may have f in hand.
func (w *client) publish(h held) {
	f := *h.f
	if f.Conn != nil {
		f.Conn = w.with(f.Conn)
	}
	h.r.publish(&f)
}

// settle takes the answer, and publishes what waits for it. One that comes later is for
// what ends later.
func (w *client) settle(process *flow.Process, device *flow.Device) {
	w.mu.Lock()
	if w.process == nil {
		w.process = process
	}
	if w.device == nil {
		w.device = device
	}
	w.from, w.to = nil, nil
	again := w.told
	w.told = true
	w.mu.Unlock()
	if again {
		return
	}
	w.late.Stop()
	defer close(w.settled)
	for {
		all := w.take()
		if all == nil {
			return
		}
		for _, h := range all {
			w.publish(h)
		}
	}
}

// take takes what waits. When that is nothing it is over.
func (w *client) take() []held {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.held
	w.held, w.over = nil, all == nil
	return all
}
