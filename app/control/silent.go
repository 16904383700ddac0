package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A SilentError says that a process takes connections, and does not answer.
type SilentError struct{ PID int }

// Error implements error.
func (e *SilentError) Error() string {
	return fmt.Sprintf("process %d does not answer: it hangs, or is stopped, as by Ctrl-Z (kill -CONT %d has it go on)", e.PID, e.PID)
}

// A process may take long to answer, if it has much to look through. So it is asked
// something else meanwhile, which takes no time.
const (
	pause    = 2 * time.Second // until it is asked, and before it is asked again
	patience = 5 * time.Second // until that should have been answered
)

// attend returns a context that ends with a SilentError when the process answers no
// more. Who is done with it calls done.
func (c *Client) attend(ctx context.Context) (_ context.Context, done func()) {
	ctx, end := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(pause)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			var silent *SilentError
			if _, err := c.About(ctx); errors.As(err, &silent) {
				end(silent)
				return
			}
		}
	})
	return ctx, func() {
		end(nil)
		wg.Wait()
	}
}

// silent returns the SilentError that ended ctx, or else err.
func silent(ctx context.Context, err error) error {
	if s := (*SilentError)(nil); err != nil && err != io.EOF && errors.As(context.Cause(ctx), &s) {
		return s
	}
	return err
}

// An attended body is one that does not have its reader wait for a process that does
// not answer.
type attended struct {
	io.ReadCloser
	ctx  context.Context
	done func()
}

// Read implements io.Reader.
func (a *attended) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	return n, silent(a.ctx, err)
}

// Close implements io.Closer.
func (a *attended) Close() error {
	defer a.done()
	return a.ReadCloser.Close()
}
