package show

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Only time of work counts.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, s := patient(t.Context())
		defer s.over()
		for range 3 {
			time.Sleep(patience / 4)
			s.pause()
			time.Sleep(time.Hour)
			s.resume()
		}
		synctest.Wait()
		if ctx.Err() != nil {
			t.Error("it has waited, and was given up for that")
		}
		time.Sleep(patience / 4)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("after %s of work it ended with %v", patience, context.Cause(ctx))
		}
	})
}
