package record

import (
	"slices"
	"sync"
	"time"

	"transom/flow"
)

// A Conn records what happens on one client connection. Its methods may be
// called by many goroutines.
type Conn struct {
	r *Recorder

	mu    sync.Mutex
	info  *flow.Conn // as far as it is known
	open  list       // what has not ended
	flows int64      // that were recorded

	client *client // nil: nobody looks for it
}

// Conn begins to record a connection. Whoever calls it calls End.
func (r *Recorder) Conn(info *flow.Conn) *Conn { return &Conn{r: r, info: info} }

// Update says what has been found out about the connection since. Flows that
// are not told otherwise refer to it.
func (c *Conn) Update(info *flow.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info = info
}

// latest returns what is known of the connection.
func (c *Conn) latest() *flow.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.info
}

// An ender is a flow that has not ended. Intrusive links spare an allocation.
type ender interface {
	links() *links
	// abandon ends the flow with its connection. err says how that ended.
	abandon(err error)
	// tend puts it into the store if that is due.
	tend(now time.Time)
}

type links struct{ prev, next ender }

type list struct{ first ender }

func (l *list) add(e ender) {
	e.links().next = l.first
	if l.first != nil {
		l.first.links().prev = e
	}
	l.first = e
}

func (l *list) remove(e ender) {
	at := e.links()
	switch {
	case at.prev != nil:
		at.prev.links().next = at.next
	case l.first == e:
		l.first = at.next
	}
	if at.next != nil {
		at.next.links().prev = at.prev
	}
	*at = links{}
}

// enter counts a flow that begins.
func (c *Conn) enter(e ender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flows++
	c.open.add(e)
}

// leave takes out a flow that has ended.
func (c *Conn) leave(e ender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open.remove(e)
}

// unfinished returns what has not ended, the oldest first.
func (c *Conn) unfinished() []ender {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []ender
	for e := c.open.first; e != nil; e = e.links().next {
		out = append(out, e)
	}
	slices.Reverse(out)
	return out
}

// End publishes the record of the connection as a whole, after it has ended the
// flows inside that had not. info is what is known of the connection in the
// end. err says why it failed, nil if it did not; it is the record's Reason
// unless that is set. Flows is filled in, and Type if it is empty: "tls" if TLS
// was found and not taken off. It is called once, when no handler of the
// connection runs any more.
func (c *Conn) End(info *flow.Conn, end flow.Connection, err error) {
	if info == nil {
		info = c.latest()
	}
	for _, e := range c.unfinished() {
		e.abandon(err)
	}
	c.mu.Lock()
	end.Flows = c.flows
	c.mu.Unlock()
	if last := info.Last(); end.Type == "" && last.TLS != nil && last.TLS.Version == 0 {
		end.Type = "tls"
	}
	f := &flow.Flow{ID: info.ID, Conn: info, Start: info.Start, End: time.Now(), State: flow.Done, Detail: &end}
	if f.Start.IsZero() {
		f.Start = f.End
	}
	if f.ID.IsZero() {
		f.ID = flow.NewID(f.Start)
	}
	if err != nil {
		f.State, f.Err = flow.Failed, err.Error()
		if end.Reason == "" {
			end.Reason = f.Err
		}
	}
	c.publish(f)
}

// maxRefused bounds what is kept of a request that was none.
const maxRefused = 64 << 10

// Refused records a request that the codec answered itself because it was
// malformed: raw is what came of its head, status what it was answered, 0 for
// nothing. raw is copied.
func (c *Conn) Refused(raw []byte, status int, err error) {
	h := &flow.HTTP{Request: &flow.RequestHead{Proto: flow.HTTP11, Raw: slices.Clone(raw[:min(len(raw), maxRefused)])}}
	if status != 0 {
		h.Response = &flow.ResponseHead{Status: status, Proto: flow.HTTP11}
	}
	c.refused(h, err)
}

// RefusedHead is Refused for a request without bytes of its own, of HTTP/2: head
// is as much of it as could be read, status 0 for a reset.
func (c *Conn) RefusedHead(head *flow.RequestHead, status int, err error) {
	req := *head
	req.Proto = flow.HTTP2
	h := &flow.HTTP{Request: &req}
	if status != 0 {
		h.Response = &flow.ResponseHead{Status: status, Proto: flow.HTTP2}
	}
	c.refused(h, err)
}

func (c *Conn) refused(h *flow.HTTP, err error) {
	now := time.Now()
	c.mu.Lock()
	c.flows++
	info := c.info
	c.mu.Unlock()
	f := &flow.Flow{ID: flow.NewID(now), Conn: info, Start: now, End: now, State: flow.Failed, Detail: h}
	if err != nil {
		f.Err = err.Error()
	}
	c.publish(f)
}
