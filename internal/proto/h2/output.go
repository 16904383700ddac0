package h2

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// An output is the writing side of a connection. Frames are appended whole,
// under the lock, and go out in one write with whatever else is waiting:
// whoever finds nobody writing writes, and the others leave their frames to him.
// Held, it only gathers.
type output struct {
	conn   net.Conn
	idle   time.Duration     // how long a peer may take nothing; 0 is for ever
	broken func(error) error // says whose a failed write is; called with the lock held
	lost   func()            // is told that nothing is written any more; called without

	streams atomic.Int32 // that are open

	mu      sync.Mutex
	room    sync.Cond // something was written, or err is set
	pend    []byte    // frames that wait
	spare   []byte    // the other buffer
	held    bool
	writing bool
	err     error
	moved   time.Time // when the peer last took something
	until   time.Time // when all writing is to end; zero is never
	wg      sync.WaitGroup
}

const (
	// outputRoom is how much may wait before senders of DATA and fields do.
	outputRoom = 64 << 10
	// outputMax is how much may wait in all. What comes past outputRoom are
	// answers to a peer that sends and does not read.
	outputMax = 4 << 20
	// finishTime is how long the last that is said may take.
	finishTime = time.Second
	// outputKeep is the largest buffer that an output keeps while it is quiet.
	outputKeep = 4 << 10
	// outputSize is that of those it borrows when more waits: outputRoom, and
	// what may come on top.
	outputSize = outputRoom + copySize + 4<<10
)

// outputs holds buffers of outputSize. BenchmarkExchange wanted it: without, it
// allocates more than what it moves.
var outputs = sync.Pool{New: func() any { return new([outputSize]byte) }}

var errNotReading = errors.New("peer does not read what it asks for")

func (o *output) init(conn net.Conn, idle time.Duration, broken func(error) error) {
	o.conn, o.idle, o.broken = conn, idle, broken
	o.room.L = &o.mu
}

// begin locks the output and returns what frames are to be appended to, of some
// n bytes.
func (o *output) begin(n int) []byte {
	o.mu.Lock()
	if n += len(o.pend); n > cap(o.pend) && n > outputKeep && n <= outputSize {
		lent := outputs.Get().(*[outputSize]byte)
		o.pend = append(lent[:0], o.pend...)
	}
	return o.pend
}

// outgrown takes a buffer that is too large to be kept.
func outgrown(b []byte) []byte {
	if cap(b) <= outputKeep {
		return b[:0]
	}
	if cap(b) == outputSize {
		outputs.Put((*[outputSize]byte)(b[:outputSize]))
	}
	return nil
}

// end takes back what begin gave and unlocks.
func (o *output) end(pend []byte) {
	o.pend = pend
	if o.err != nil {
		o.pend = pend[:0] // nobody writes it any more
	}
	if len(pend) > outputMax && o.err == nil {
		o.failLocked(o.broken(errNotReading))
	}
	o.mu.Unlock()
}

// fail ends all writing, now and later. It keeps the first error.
func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.failLocked(err)
	}
}

// abort is fail for who can't wait: it ends the Write under way, too.
func (o *output) abort(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.failLocked(err)
	}
	_ = o.conn.SetWriteDeadline(past) // the write fails if the conn is gone
}

// breakOff ends all writing for a fault of the peer's. Whoever reads is stopped by
// it, and is to find why.
func (o *output) breakOff(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.failLocked(o.broken(err))
	}
}

func (o *output) failLocked(err error) {
	o.err, o.pend = err, o.pend[:0]
	o.room.Broadcast()
}

// unhold lets go what was gathered, first before it.
func (o *output) unhold(first []byte) {
	o.mu.Lock()
	o.pend = append(first, o.pend...)
	o.held = false
	o.mu.Unlock()
}

// waitRoom waits until little enough is waiting to append what streams say.
func (o *output) waitRoom() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.fullLocked() {
		o.room.Wait()
	}
	return o.err
}

// full reports whether so much is waiting that who has more is to wait, too.
func (o *output) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fullLocked()
}

func (o *output) fullLocked() bool {
	return len(o.pend) > outputRoom && o.err == nil && (o.writing || o.held)
}

// flush writes what waits, unless somebody is at it already.
func (o *output) flush() error {
	o.mu.Lock()
	if !o.writing && !o.held {
		o.flushLocked()
	}
	err := o.err
	o.mu.Unlock()
	if err != nil {
		o.lost()
	}
	return err
}

func (o *output) flushLocked() {
	o.writing = true
	o.gatherLocked()
	for len(o.pend) > 0 && o.err == nil {
		b := o.pend
		o.pend, o.spare = o.spare[:0], nil
		o.mu.Unlock()
		err := o.write(b)
		o.mu.Lock()
		o.spare = b[:0]
		if err != nil && o.err == nil {
			o.failLocked(o.broken(err))
		}
		o.room.Broadcast()
	}
	o.writing = false
	o.spare = outgrown(o.spare)
	if len(o.pend) == 0 {
		o.pend = outgrown(o.pend)
	}
}

// flushAll is flush that waits, if somebody is at it already, until he has
// written all there is.
func (o *output) flushAll() error {
	err := o.flush()
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.writing && o.err == nil {
		o.room.Wait()
		err = o.err
	}
	return err
}

// gatherMax is how often others are let run before a write, and gatherEnough
// how much makes a write worth while: what fits into one record of TLS.
const (
	gatherMax    = 8
	gatherEnough = 16 << 10
)

// gatherLocked lets those run who have something to be written too, as long as
// it becomes more by that. A write of its own for each is what would cost most.
func (o *output) gatherLocked() {
	if o.streams.Load() < 2 {
		return
	}
	for range gatherMax {
		n := len(o.pend)
		if n == 0 || n >= gatherEnough {
			return
		}
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
		if len(o.pend) == n {
			return
		}
	}
}

// write writes b; only whoever has set writing calls it.
func (o *output) write(b []byte) error {
	now := time.Now()
	if err := o.arm(now); err != nil {
		return err
	}
	_, err := o.conn.Write(b)
	o.mu.Lock()
	o.moved = now
	o.mu.Unlock()
	return err
}

// failed returns what ended all writing, nil while nothing has.
func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// arm sets when a Write that begins now is to end, unless abort has.
func (o *output) arm(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var end time.Time
	if o.idle > 0 {
		end = now.Add(o.idle)
	}
	if !o.until.IsZero() && (end.IsZero() || o.until.Before(end)) {
		end = o.until
	}
	if o.err == nil && !end.IsZero() {
		_ = o.conn.SetWriteDeadline(end) // the write fails if the conn is gone
	}
	return o.err
}

// finish writes what waits, if the peer takes it soon.
func (o *output) finish() {
	o.mu.Lock()
	o.until = time.Now().Add(finishTime)
	_ = o.conn.SetWriteDeadline(o.until) // likewise
	o.mu.Unlock()
	_ = o.flushAll() // it is the last there is to say
}

// lastMoved returns when the peer last took something.
func (o *output) lastMoved() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moved
}

// kick has what waits written by a goroutine of the output's own.
func (o *output) kick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pend) == 0 || o.writing || o.held || o.err != nil {
		return
	}
	o.wg.Go(func() { _ = o.flush() }) // its error is that of the next frame
}

// wait waits for the goroutines of kick. It is for after fail or the conn's end.
func (o *output) wait() { o.wg.Wait() }
