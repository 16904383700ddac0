package ws

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"transom/message"
)

// An outbound is where one direction's octets leave. Whoever has the turn may
// write: the goroutine that passes on what came, or for what it wants to add,
// anybody. What can't go now, because a message is half sent, waits in the
// queue for whoever gives the turn back at a better time. So nobody waits for
// the turn but who passes on, and that only for writes.
type outbound struct {
	deflation
	c    *Conversation
	dir  message.Direction
	to   io.Writer
	turn chan struct{} // capacity 1; full while somebody has the turn

	// Guarded by the turn.
	inside  bool   // a message is half sent
	closing bool   // a close frame was sent; nothing may follow (RFC 6455, section 5.5.1)
	stale   int    // octets of compressed messages until both ends' windows are the same again
	frame   []byte // scratch

	waiting atomic.Int32 // length of queue
	mu      sync.Mutex
	queue   []*queued
	size    int64 // octets in queue
	over    error // why nothing can be added any more
}

// A queued message waits to be sent.
type queued struct {
	message.Message
	injected bool
	done     chan error // capacity 1; nil if nobody wants to know
}

// Bounds of what waits.
const (
	maxQueued  = 64
	maxQueuedB = 16 << 20
)

func (o *outbound) init(c *Conversation, dir message.Direction, to io.Writer, d deflation) {
	o.c, o.dir, o.to, o.deflation = c, dir, to, d
	o.turn = make(chan struct{}, 1)
}

// begin waits for the turn.
func (o *outbound) begin() { o.turn <- struct{}{} }

// end gives the turn back, and sees to the queue.
func (o *outbound) end() {
	for {
		stuck := o.flush()
		<-o.turn
		if stuck || o.waiting.Load() == 0 {
			return
		}
		select {
		case o.turn <- struct{}{}: // something has come since
		default:
			return // and will be seen to
		}
	}
}

// flush sends what waits. It reports whether something has to go on waiting. It
// is called with the turn.
func (o *outbound) flush() (stuck bool) {
	for o.waiting.Load() > 0 {
		if o.inside {
			return true
		}
		if q := o.pop(); q != nil {
			q.finish(o.put(q))
		}
	}
	return false
}

func (q *queued) finish(err error) {
	if q.done != nil {
		q.done <- err
	}
}

func (o *outbound) pop() *queued {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil
	}
	q := o.queue[0]
	o.removeLocked(0)
	return q
}

func (o *outbound) removeLocked(i int) {
	o.size -= int64(len(o.queue[i].Payload))
	o.queue = slices.Delete(o.queue, i, i+1)
	o.waiting.Add(-1)
}

// put sends what has waited. It is called with the turn.
func (o *outbound) put(q *queued) error {
	if o.closing {
		return fmt.Errorf("%w: a close frame has been sent", message.ErrEnded)
	}
	if err := o.fresh(&q.Message, q.Op < opClose && o.packs()); err != nil {
		return err
	}
	o.record(&message.Entry{Op: q.Op, Changed: !q.injected, Injected: q.injected, Payload: q.Payload})
	return nil
}

// packs reports whether a message of ours is to be compressed. While the
// receiver's window is what the sender thinks, it is not: the window would be
// another one afterwards (RFC 7692, section 6, lets us choose).
func (o *outbound) packs() bool { return o.on && (!o.takeover || o.stale > 0) }

// record tells of a message of ours, which is whole.
func (o *outbound) record(e *message.Entry) {
	e.Dir, e.Size = o.dir, int64(len(e.Payload))
	e.Payload = e.Payload[:min(len(e.Payload), o.c.o.Keep)]
	o.c.o.Record.Message(*e)
}

// write is called with the turn.
func (o *outbound) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := o.to.Write(p)
	return err
}

// fresh sends m as one new frame. It is called with the turn.
func (o *outbound) fresh(m *message.Message, pack bool) error {
	if !pack {
		return o.send(header{fin: true, op: m.Op}, m.Payload)
	}
	if o.takeover {
		o.stale = o.window()
	}
	return o.packed(m.Op, m.Payload)
}

// packed sends a message compressed by itself. It is called with the turn.
func (o *outbound) packed(op byte, payload []byte) error {
	z := newPacker(o.window())
	defer z.free()
	z.write(payload)
	return o.send(header{fin: true, rsv: bitRSV1, op: op}, z.flush(true))
}

// send sends a frame. It is called with the turn.
func (o *outbound) send(h header, payload []byte) error {
	o.frame = o.appendFrame(o.frame[:0], h, payload)
	if h.op == opClose {
		o.closing = true
	}
	err := o.write(o.frame)
	if cap(o.frame) > keepScratch {
		o.frame = nil
	}
	return err
}

// keepScratch is the most that is held for the next message.
const keepScratch = 64 << 10

// appendFrame writes a frame; towards a server with a mask that nobody can
// guess (RFC 6455, section 5.3).
func (o *outbound) appendFrame(dst []byte, h header, payload []byte) []byte {
	h.length = int64(len(payload))
	if h.masked = o.dir == message.ToServer; !h.masked {
		return append(appendHeader(dst, &h), payload...)
	}
	_, _ = rand.Read(h.mask[:]) // it does not fail
	return appendMasked(appendHeader(dst, &h), payload, h.mask, 0)
}

// unchanged sends a message as its frames came, unless it is a compressed one
// that the receiver would not read as the sender wrote it. It is called with
// the turn.
func (o *outbound) unchanged(raw []byte, a *assembly) error {
	if a.packed && o.stale > 0 {
		o.read(int64(len(a.kept)))
		return o.packed(a.op, a.kept)
	}
	if a.op == opClose {
		o.closing = true
	}
	return o.write(raw)
}

// read says that n octets have come out of a compressed message at both ends.
// As far as a message can refer to, that makes their windows the same again. It
// is called with the turn.
func (o *outbound) read(n int64) { o.stale = int(max(int64(o.stale)-n, 0)) }

// add sends m, or queues a copy if that can't be now.
func (o *outbound) add(m *message.Message) error {
	q := &queued{Message: *m}
	q.Payload = slices.Clone(m.Payload)
	return o.enqueue(q)
}

// inject sends m and waits until it was sent.
func (o *outbound) inject(ctx context.Context, m *message.Message) error {
	q := &queued{Message: *m, injected: true, done: make(chan error, 1)}
	if err := o.enqueue(q); err != nil {
		return err
	}
	select {
	case err := <-q.done:
		return err
	case <-ctx.Done():
		if o.withdraw(q) {
			return context.Cause(ctx)
		}
		return <-q.done // it is being written
	}
}

// enqueue queues q, and sends the queue if nobody else is about to.
func (o *outbound) enqueue(q *queued) error {
	o.mu.Lock()
	err := o.over
	if err == nil && (len(o.queue) >= maxQueued || o.size+int64(len(q.Payload)) > maxQueuedB) {
		err = message.ErrBusy
	}
	if err == nil {
		o.queue = append(o.queue, q)
		o.size += int64(len(q.Payload))
		o.waiting.Add(1)
	}
	o.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case o.turn <- struct{}{}:
		o.end()
	default:
	}
	return nil
}

func (o *outbound) withdraw(q *queued) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.queue, q)
	if i >= 0 {
		o.removeLocked(i)
	}
	return i >= 0
}

// finish sends what waits if that is still possible, and lets nothing in any
// more.
func (o *outbound) finish() {
	o.begin()
	o.flush()
	o.shut(message.ErrEnded)
	o.end()
}

// shut fails what waits and what will come, for the reason given.
func (o *outbound) shut(why error) {
	o.mu.Lock()
	o.over = why
	queue := o.queue
	o.queue, o.size = nil, 0
	o.waiting.Store(0)
	o.mu.Unlock()
	for _, q := range queue {
		q.finish(why)
		if q.done == nil {
			o.record(&message.Entry{Op: q.Op, Changed: true, Dropped: true, Payload: q.Payload})
		}
	}
}
