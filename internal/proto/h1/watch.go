package h1

import (
	"context"
	"io"
	"sync"
	"time"
)

// A watch looks after the client while a long exchange is under way and its
// request has been read: a client that is gone cancels the exchange. What the
// client sends meanwhile is kept; its FIN means nothing yet. Short exchanges cost
// a timer that does not fire.
type watch struct {
	in     *input
	o      *Options
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	timer *time.Timer
	open  bool          // between allow and stop
	on    bool          // between start and stop
	done  chan struct{} // closed when the goroutine that reads has ended; nil without one
	gone  error
}

func (w *watch) init(in *input, o *Options, cancel context.CancelCauseFunc) {
	w.in, w.o, w.cancel = in, o, cancel
}

// allow opens the time in which start means something: the exchange's.
func (w *watch) allow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open = true
}

// start begins to watch after a while, once the request has been read to its
// end. The input is the watch's until stop. It may be called by whoever read
// that end.
func (w *watch) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.open || w.on {
		return
	}
	w.on = true
	if w.timer == nil {
		w.timer = time.AfterFunc(w.o.QuietAfter, w.fire)
	} else {
		w.timer.Reset(w.o.QuietAfter)
	}
}

// fire runs in the timer's goroutine, and reads in it.
func (w *watch) fire() {
	w.mu.Lock()
	if !w.on || w.done != nil {
		w.mu.Unlock()
		return
	}
	done := make(chan struct{})
	w.done = done
	w.in.disarm()
	w.mu.Unlock()
	defer close(done)

	if err := w.lost(); err != nil {
		w.gone = &ClientError{err}
		w.cancel(w.gone)
	}
}

// lost waits for the client to be gone. It reads no more than one piece: a
// client that has pipelined is to wait.
func (w *watch) lost() error {
	if w.in.buffered() == 0 {
		switch err := w.in.fillQuietly(); {
		case isTimeout(err):
			return nil
		case isEnd(err) && w.o.HalfClosed != nil:
			w.o.HalfClosed(err)
		case err != nil && err != io.EOF:
			return err
		}
	}
	if w.o.AwaitReset == nil {
		return nil
	}
	return w.o.AwaitReset()
}

// stop ends the watching, and returns why the client is gone, if it is. It may
// be called again.
func (w *watch) stop() error {
	w.mu.Lock()
	w.open = false
	if !w.on {
		w.mu.Unlock()
		return w.gone
	}
	w.on = false
	w.timer.Stop()
	done := w.done
	w.done = nil
	w.mu.Unlock()
	if done != nil {
		w.in.interrupt()
		<-done
		w.in.disarm()
	}
	return w.gone
}
