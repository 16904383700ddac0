package main

import (
	"os"
	"os/signal"
	"syscall"

	"transom"
)

// signals lets the first SIGINT or SIGTERM drain and the second end the
// connections at once; the third has its usual meaning, for when nobody reads
// what is still to be printed. SIGPIPE is caught so that a reader who leaves is
// an error of writing.
//
// SIGHUP, which says that the terminal is gone, drains and counts for nothing:
// the kernel, a shell and a session manager may each send one, and a SIGTERM
// beside it. Who started us with it ignored, as nohup does, wants us to go on.
type signals struct {
	quit, done    chan struct{}
	ch, hup, pipe chan os.Signal
}

func handleSignals(drain func(), p *transom.Proxy, grace *durationFlag) *signals {
	s := &signals{
		quit: make(chan struct{}), done: make(chan struct{}),
		ch: make(chan os.Signal, 2), hup: make(chan os.Signal, 1), pipe: make(chan os.Signal, 1),
	}
	signal.Notify(s.ch, os.Interrupt, syscall.SIGTERM)
	signal.Notify(s.pipe, syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(s.hup, syscall.SIGHUP)
	}
	go s.watch(drain, p, grace)
	return s
}

func (s *signals) watch(drain func(), p *transom.Proxy, grace *durationFlag) {
	defer close(s.done)
	for n := 0; n < 2; {
		select {
		case <-s.hup:
			signal.Ignore(syscall.SIGHUP) // to the end of the process
			p.Log.Info("stopping, as the terminal is gone: " + grace.grace())
			drain()
			continue
		case <-s.ch:
		case <-s.quit:
			return
		}
		n++
		switch {
		case n == 1 && *grace == 0:
			p.Log.Info("stopping: " + grace.grace())
			drain()
		case n == 1:
			p.Log.Info("stopping: " + grace.grace() + "; interrupt again to end at once")
			drain()
		default:
			signal.Stop(s.ch)
			p.Log.Info("ending: what was recorded is still printed; interrupt again to leave it")
			p.End()
		}
	}
}

func (s *signals) close() {
	signal.Stop(s.ch)
	signal.Stop(s.hup)
	signal.Stop(s.pipe)
	close(s.quit)
	<-s.done
}
