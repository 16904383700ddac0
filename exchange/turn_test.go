package exchange_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transom/exchange"
)

func TestTurnsComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q exchange.Queue
		var got []string
		a, b, c := q.Join(), q.Join(), q.Join()
		q.Do(func() { got = append(got, "do") })
		d := q.Join()
		for name, turn := range map[string]*exchange.Turn{"b": b, "c": c, "d": d} {
			go func() {
				turn.Wait(t.Context())
				got = append(got, name)
				turn.Pass()
			}()
		}
		synctest.Wait()
		if len(got) > 0 {
			t.Fatalf("came before their turn: %v", got)
		}
		a.Wait(t.Context())
		a.Pass()
		a.Pass()
		synctest.Wait()
		if want := []string{"b", "c", "do", "d"}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		q.Do(func() { got = nil })
		if got != nil {
			t.Error("an empty queue lets nobody come")
		}
	})
}

func TestTurnIsNotWaitedForForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q exchange.Queue
		q.Join()
		late := q.Join()
		start := time.Now()
		late.Wait(t.Context())
		if took := time.Since(start); took == 0 || took > time.Second {
			t.Errorf("waited %v for one that dawdles", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start = time.Now()
		late.Wait(ctx)
		if took := time.Since(start); took != 0 {
			t.Errorf("waited %v though the context was done", took)
		}
		late.Pass()
		late.Wait(t.Context())
		var none *exchange.Turn
		none.Wait(t.Context())
		none.Pass()
	})
}

func TestDoIsNotHeldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q exchange.Queue
		var got []int
		dawdles := q.Join()
		for i := range 200 {
			q.Do(func() { got = append(got, i) })
		}
		if len(got) < 100 || len(got) == 200 {
			t.Errorf("%d of 200 were done behind one that dawdles", len(got))
		}
		next := q.Join()
		q.Do(func() { got = append(got, 200) })
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got) != 201 || !slices.IsSorted(got) {
			t.Errorf("a second later %d of 201 were done: %v", len(got), got)
		}
		dawdles.Pass()
		next.Wait(t.Context())
		q.Do(func() { got = append(got, 201) })
		next.Pass()
		if len(got) != 202 {
			t.Error("the last was not done when its turn came")
		}
	})
}
