package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// asksMax is how many requests may wait for answers at once; more wait for their
// turn. The queue of the pair has room for many times that.
const asksMax = 64

// errRestarted says that the helper died before it answered; a new one is there.
var errRestarted = errors.New("the helper died")

// An answer is what came back.
type answer struct {
	err error
	fd  int // a descriptor for who asked, or negative
}

func (a *answer) close() {
	if a.fd >= 0 {
		_ = unix.Close(a.fd)
		a.fd = -1
	}
}

// A slot is a request on its way.
type slot struct {
	id    uint64 // 0 while it is free
	epoch uint32
	got   chan answer // of capacity one
}

// A line is the proxy's side of the pair: it asks, and one goroutine hears what
// comes.
type line struct {
	pair *pair
	log  *slog.Logger
	free chan int // indices of slots that are free

	// heard is called for hello, lost and end, by the goroutine that hears.
	heard func(report)

	mu    sync.Mutex
	slots [asksMax]slot
	next  uint64
	epoch uint32
	ended error // set when there will be no answers any more
}

func newLine(p *pair, log *slog.Logger, heard func(report)) *line {
	l := &line{pair: p, log: log, free: make(chan int, asksMax), heard: heard}
	for i := range l.slots {
		l.slots[i].got = make(chan answer, 1)
		l.free <- i
	}
	return l
}

// ask sends a request, with a descriptor unless it is negative, and waits for its
// answer. The caller closes what comes with that.
func (l *line) ask(ctx context.Context, r request, with int) (answer, error) {
	var i int
	select {
	case i = <-l.free:
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
	defer func() { l.free <- i }()
	s, err := l.take(i, &r)
	if err != nil {
		return answer{}, err
	}
	var b [requestLen]byte
	if err := l.pair.send(r.put(&b), with); err != nil {
		l.leave(s)
		return answer{}, fmt.Errorf("ask the helper: %w", err)
	}
	select {
	case a := <-s.got:
		return a, a.err
	case <-ctx.Done():
		l.leave(s)
		return answer{}, fmt.Errorf("the helper did not answer in time: %w", context.Cause(ctx))
	}
}

// take fills a slot and completes the request.
func (l *line) take(i int, r *request) (*slot, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return nil, l.ended
	}
	l.next++
	s := &l.slots[i]
	r.id, r.epoch = l.next*asksMax+uint64(i), l.epoch
	s.id, s.epoch = r.id, r.epoch
	return s, nil
}

// leave gives up a slot whose answer nobody waits for.
func (l *line) leave(s *slot) {
	l.mu.Lock()
	s.id = 0
	l.mu.Unlock()
	select {
	case a := <-s.got: // it came just now
		a.close()
	default:
	}
}

// settle gives an answer to who waits for it.
func (l *line) settle(id uint64, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.slots[id%asksMax]
	if s.id != id || id == 0 {
		a.close() // nobody waits any more
		return
	}
	s.id = 0
	s.got <- a
}

// settleAll gives an error to all that wait, except for an answer of this epoch.
func (l *line) settleAll(err error, except uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.slots {
		if s := &l.slots[i]; s.id != 0 && (except == 0 || s.epoch != except) {
			s.id = 0
			s.got <- answer{err, -1}
		}
	}
}

// end makes every request fail, now and later.
func (l *line) end(err error) {
	l.mu.Lock()
	if l.ended == nil {
		l.ended = err
	}
	err = l.ended
	l.mu.Unlock()
	l.settleAll(err, 0)
}

// hear reads until the other side or this one is closed.
func (l *line) hear() {
	var buf [reportMax + 1]byte
	for {
		got, err := l.pair.wait(buf[:])
		if err != nil || got.n == 0 {
			return
		}
		r, err := parseReport(buf[:min(got.n, len(buf))])
		if err != nil {
			got.closeAll()
			l.log.Error("the helper says what nobody understands", "err", err)
			continue
		}
		l.tell(r, &got)
	}
}

// tell handles one report.
func (l *line) tell(r report, got *received) {
	defer got.closeAll()
	switch r.kind {
	case sayAnswer:
		a := answer{err: errorOf(r), fd: -1}
		if got.has > 0 {
			a.fd = got.fds[0]
			got.fds[0], got.has = got.fds[got.has-1], got.has-1
		}
		l.settle(r.id, a)
	case sayPing:
		var b [requestLen]byte
		pong := request{kind: sayPong, id: r.id, epoch: r.epoch}
		_ = l.pair.send(pong.put(&b), -1) // a helper that does not read has no use for it
	case sayLog:
		relog(l.log, slog.Level(int64(r.id)), r.text)
	case sayHello:
		l.mu.Lock()
		l.epoch = r.epoch
		l.mu.Unlock()
		l.settleAll(errRestarted, r.epoch)
		l.heard(r)
	case sayLost, sayEnd:
		l.heard(r)
	}
}

// errorOf makes the helper's error again, its errno in the chain.
func errorOf(r report) error {
	switch {
	case r.refused:
		return &remoteError{string(r.text), ErrRefused, syscall.Errno(r.errno)}
	case r.errno != 0:
		return &remoteError{string(r.text), nil, syscall.Errno(r.errno)}
	}
	return nil
}

// A remoteError is an error of the helper's. Its text has the errno's already.
type remoteError struct {
	text    string
	refused error
	errno   syscall.Errno
}

func (e *remoteError) Error() string { return e.text }

// Unwrap tells the errno, and ErrRefused if that is what it was.
func (e *remoteError) Unwrap() []error {
	if e.refused != nil {
		return []error{e.refused, e.errno}
	}
	return []error{e.errno}
}

// closePair ends both directions, so that the other side ends too.
func (l *line) shutdown() {
	_ = l.pair.on(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}
