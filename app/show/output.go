package show

import (
	"io"
	"sync"
)

// An output writes behind the one who prints: at once when the writer is idle,
// and in one piece all that came while it was busy. Past maxPending put waits.
type output struct {
	w    io.Writer
	done sync.WaitGroup

	mu     sync.Mutex
	moved  sync.Cond // pending, err or closed has changed
	buf    []byte    // pending
	spare  []byte
	err    error
	closed bool
}

const maxPending = 1 << 20

// newOutput starts an output. The caller closes it.
func newOutput(w io.Writer) *output {
	o := &output{w: w}
	o.moved.L = &o.mu
	o.done.Go(o.run)
	return o
}

// put adds text. It returns the error of an earlier write.
func (o *output) put(p []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) > maxPending && o.err == nil {
		o.moved.Wait()
	}
	if len(p) > 0 {
		o.buf = append(o.buf, p...)
		o.moved.Broadcast()
	}
	return o.err
}

// close waits until all is written, and returns the first error of writing.
func (o *output) close() error {
	o.mu.Lock()
	o.closed = true
	o.moved.Broadcast()
	o.mu.Unlock()
	o.done.Wait()
	return o.err
}

func (o *output) run() {
	for {
		p, ok := o.next()
		if !ok {
			return
		}
		_, err := o.w.Write(p)
		o.wrote(p, err)
	}
}

// next waits for text, and reports false when no more is to be written.
func (o *output) next() ([]byte, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.buf) == 0 && !o.closed {
		o.moved.Wait()
	}
	if len(o.buf) == 0 || o.err != nil {
		return nil, false
	}
	p := o.buf
	o.buf = o.spare[:0]
	return p, true
}

func (o *output) wrote(p []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = p
	if cap(p) > maxPending {
		o.spare = nil // one large body is not to be paid for ever
	}
	o.err = err
	o.moved.Broadcast()
}
