package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"transom/platform/pf"
)

// serveRoot is the body of "helper serve" where pf steers. An error has been told
// to the proxy, or was there when that was gone; the watch looks after what is left.
func serveRoot(ctx context.Context, o rootRights) error {
	told := hearSignals()
	defer told.stop()
	role, _, err := readRole(os.Stdin)
	if err != nil {
		return err
	}
	h, err := openRoot(&role.Charter)
	if err != nil {
		return err
	}
	defer h.lock.Close()
	return h.serve(ctx, o, role.Charter, told)
}

// rootHands are the descriptors of a helper.
type rootHands struct {
	line   rootLine
	leash  *os.File
	lock   *os.File
	lookup net.Conn // nil if nobody asks
}

func openRoot(c *Charter) (h rootHands, err error) {
	open := func(fd uintptr, what string) *os.File {
		f, e := startedWith(fd, what)
		err = errors.Join(err, e)
		return f
	}
	_ = unix.SetNonblock(rootLeashFD, true) // so that closing it ends a read; if it is missing that is said below
	line := open(rootLineFD, "the line to the proxy")
	h.lock, h.leash = open(rootLockFD, "the lock"), open(rootLeashFD, "the watch")
	var lookup *os.File
	if c.looks() {
		lookup = open(rootLookupFD, "the line for lookups")
	}
	if err != nil {
		return h, err
	}
	if h.line.c, err = connOf(line); err != nil || lookup == nil {
		return h, err
	}
	h.lookup, err = connOf(lookup)
	return h, err
}

func (h *rootHands) close() {
	h.line.c.Close()
	h.leash.Close()
	if h.lookup != nil {
		h.lookup.Close()
	}
}

// serve opens what there is to open, and goes on until it is over.
func (h *rootHands) serve(ctx context.Context, o rootRights, c Charter, told *signals) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer h.close() // which ends those that are waited for
	defer cancel()
	v := &rootVoice{line: h.line}
	log := v.log(&o.Rights)
	steerer, err := openRootSteerer(log, &o.Rights, &c)
	if err == nil {
		err = h.look(o, &c, &all)
	}
	if err != nil {
		_ = v.say(report{kind: sayLost, text: []byte(err.Error())}) // and returned
		return err
	}
	if steerer != nil {
		defer steerer.Abandon()
	}
	return newRootServer(c, steerer, v.say, log).run(ctx, rootEvents{
		requests: h.hear(ctx, &all, v),
		watch:    h.mourn(&all),
		told:     told.hear(ctx, &all),
	})
}

// look answers for pf in a goroutine, if anybody is to ask.
func (h *rootHands) look(o rootRights, c *Charter, all *sync.WaitGroup) error {
	if h.lookup == nil {
		return nil
	}
	looker, closer, err := o.Look()
	if err != nil {
		return errors.Join(err, pf.Refuse(h.lookup, err))
	}
	all.Go(func() {
		defer closer.Close()
		_ = pf.Serve(h.lookup, looker, c.Lookups) // its end is the proxy's, which the line tells
	})
	return nil
}

// openRootSteerer opens what steers, nil if there is nothing to.
func openRootSteerer(log *slog.Logger, r *Rights, c *Charter) (rootSteerer, error) {
	s, err := r.open(log, c, noMemory{})
	if err != nil || s == nil {
		return nil, err
	}
	steerer, ok := s.(rootSteerer)
	if !ok {
		return nil, fmt.Errorf("helper: what steers by %s can't be tended", c.Backend)
	}
	return steerer, nil
}

// noMemory is for what steers by pf, which remembers in pf.
type noMemory struct{}

func (noMemory) Recall() ([]string, error) { return nil, nil }
func (noMemory) Keep([]string) error       { return nil }

// hear reads requests until the proxy is gone, or sends what none sends.
func (h *rootHands) hear(ctx context.Context, all *sync.WaitGroup, v *rootVoice) <-chan request {
	requests := make(chan request)
	all.Go(func() {
		defer close(requests)
		defer v.alone.Store(true)
		var buf [requestLen]byte
		for {
			b, err := h.line.read(buf[:])
			if err != nil {
				return
			}
			r, err := parseRequest(b)
			if err != nil {
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	return requests
}

// mourn waits for the end of the watch.
func (h *rootHands) mourn(all *sync.WaitGroup) <-chan struct{} {
	gone := make(chan struct{})
	all.Go(func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, h.leash)
	})
	return gone
}

// A rootVoice says things to the proxy, and to stderr when that is gone.
type rootVoice struct {
	mu    sync.Mutex // a line takes one message at a time
	line  rootLine
	alone atomic.Bool
}

func (v *rootVoice) say(r report) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.line.say(r)
}

func (v *rootVoice) log(r *Rights) *slog.Logger {
	return slog.New(&handler{
		send: func(level slog.Level, text []byte) bool {
			return !v.alone.Load() && v.say(report{kind: sayLog, id: uint64(level), text: text}) == nil
		},
		stderr: r.handler(os.Stderr),
	})
}

// signals are those that ask for an end. Processes of root's hand them on, and go on.
type signals struct{ c chan os.Signal }

func hearSignals() *signals {
	s := &signals{make(chan os.Signal, 1)}
	signal.Notify(s.c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return s
}

func (s *signals) stop() { signal.Stop(s.c) }

// hear words them.
func (s *signals) hear(ctx context.Context, all *sync.WaitGroup) <-chan string {
	told := make(chan string)
	all.Go(func() {
		for {
			select {
			case sig := <-s.c:
				select {
				case told <- "the helper was told to end (" + sig.String() + ")":
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return told
}
