package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"transom"
)

// signals lets the first SIGINT or SIGTERM drain and the second end at once.
// SIGPIPE is caught so that a reader who leaves is an error of writing.
type signals struct {
	ended      chan struct{} // closed by the second
	quit, done chan struct{}
	ch, pipe   chan os.Signal
}

func handleSignals(drain func(), p *transom.Proxy, stderr io.Writer) *signals {
	s := &signals{
		ended: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
		ch: make(chan os.Signal, 2), pipe: make(chan os.Signal, 1),
	}
	signal.Notify(s.ch, os.Interrupt, syscall.SIGTERM)
	signal.Notify(s.pipe, syscall.SIGPIPE)
	go s.watch(drain, p, stderr)
	return s
}

func (s *signals) watch(drain func(), p *transom.Proxy, stderr io.Writer) {
	defer close(s.done)
	for n := 0; n < 2; n++ {
		select {
		case <-s.ch:
		case <-s.quit:
			return
		}
		if n == 0 {
			fmt.Fprintln(stderr, "transom: stopping: open connections may finish; interrupt again to end at once")
			drain()
		} else {
			signal.Stop(s.ch) // a third has its usual meaning
			p.End()
			close(s.ended)
		}
	}
}

func (s *signals) close() {
	signal.Stop(s.ch)
	signal.Stop(s.pipe)
	close(s.quit)
	<-s.done
}

// lastWords is how long what was recorded may take to be printed once we were
// told to end at once: nobody may be reading it.
const lastWords = time.Second

// waitFor waits for wg, and reports false if stop is closed first and wg takes
// much longer.
func waitFor(wg *sync.WaitGroup, stop <-chan struct{}) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	select {
	case <-done:
		return true
	case <-stop:
	}
	t := time.NewTimer(lastWords)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}
