package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"transom/platform"
	"transom/platform/pf"
)

// A rootClient is a platform.Host that a helper of root's steers for. All else it does
// itself, but for what pf tells root alone.
type rootClient struct {
	platform.Host // nil until it is known who asks pf
	charter       Charter
	log           *slog.Logger
	line          rootLine
	writing       sync.Mutex
	watch         *exec.Cmd
	watched       chan error // gets how the watch ended
	ends          sync.WaitGroup
	close         func() error

	applying sync.Mutex // held by the one Apply
	mu       sync.Mutex
	last     uint64
	waiting  map[uint64]chan report
	state    state // what is in force, as far as is known

	hello  chan struct{} // closed when the helper is ready
	ending chan string   // of capacity one
	lost   chan struct{}
	losing sync.Once
	why    error // set before lost is closed
}

var _ platform.Host = (*rootClient)(nil)

// startRoot starts a watch, which starts a helper, and returns the host that is
// steered by it when it is ready. lock is the caller's to close.
func startRoot(ctx context.Context, charter Charter, lock *os.File, o Options) (*rootClient, error) {
	if err := charter.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &rootClient{
		charter: charter, log: o.Log, watched: make(chan error, 1), waiting: map[uint64]chan report{},
		hello: make(chan struct{}), ending: make(chan string, 1), lost: make(chan struct{}),
	}
	c.close = sync.OnceValue(c.end)
	lookup, err := c.spawn(lock, &o)
	if err != nil {
		return nil, fmt.Errorf("start the helper: %w", err)
	}
	c.ends.Go(c.hear)
	select {
	case <-c.hello:
		err = c.open(lookup)
	case <-c.lost:
		err = errors.Join(c.why, closeConn(lookup))
	case <-ctx.Done():
		err = errors.Join(context.Cause(ctx), closeConn(lookup))
	}
	if err != nil {
		_ = c.Close() // what it says comes of err
		return nil, fmt.Errorf("start the helper: %w", err)
	}
	return c, nil
}

func closeConn(c net.Conn) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// open is this process as a host.
func (c *rootClient) open(lookup net.Conn) (err error) {
	if lookup == nil {
		c.Host, err = platform.Here(c.log)
		return err
	}
	asker, err := pf.NewAsker(lookup)
	if err != nil {
		return err
	}
	c.Host, err = platform.HereBy(c.log, asker)
	return err
}

// spawn starts the watch, in a session of its own: a terminal's signals are for the
// proxy. It returns the line for lookups, nil if there are none.
func (c *rootClient) spawn(lock *os.File, o *Options) (lookup net.Conn, err error) {
	brief, err := json.Marshal(rootRole{Charter: c.charter})
	if err != nil {
		return nil, err
	}
	near, far, err := rootPair()
	if err != nil {
		return nil, err
	}
	defer far.Close()
	files := []*os.File{far, lock}
	if c.charter.looks() {
		var theirs *os.File
		if lookup, theirs, err = rootPair(); err != nil {
			return nil, errors.Join(err, near.Close())
		}
		defer theirs.Close()
		files = append(files, theirs)
	}
	c.line = rootLine{near}
	c.watch = exec.Command(o.Program, o.Args...)
	c.watch.Stdin, c.watch.Stderr, c.watch.ExtraFiles = bytes.NewReader(brief), os.Stderr, files
	c.watch.Dir, c.watch.Env = "/", o.Env
	c.watch.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.watch.Start(); err != nil {
		return nil, errors.Join(err, near.Close(), closeConn(lookup))
	}
	c.ends.Go(func() { c.watched <- c.watch.Wait() })
	return lookup, nil
}

// hear hears what the helper says until it is gone.
func (c *rootClient) hear() {
	var buf [reportMax]byte
	greeted := sync.OnceFunc(func() { close(c.hello) })
	for {
		b, err := c.line.read(buf[:])
		if err == nil {
			var r report
			if r, err = parseReport(b); err == nil {
				c.heard(r, greeted)
				continue
			}
		}
		c.lose("it has ended")
		return
	}
}

func (c *rootClient) heard(r report, greeted func()) {
	switch r.kind {
	case sayHello:
		greeted()
	case sayPing:
		_ = c.ask(request{kind: sayPong, id: r.id}) // a line that is broken is heard of
	case sayLog:
		relog(c.log, slog.Level(int64(r.id)), r.text)
	case sayLost:
		c.lose(string(r.text))
	case sayEnd:
		select {
		case c.ending <- string(r.text):
		default: // nobody needs to be told twice
		}
	case sayAnswer:
		c.mu.Lock()
		to := c.waiting[r.id]
		delete(c.waiting, r.id)
		c.mu.Unlock()
		if to != nil {
			r.text = bytes.Clone(r.text)
			to <- r
		}
	}
}

func (c *rootClient) ask(r request) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.line.ask(r)
}

// lose ends everything that needs the helper.
func (c *rootClient) lose(why string) {
	c.losing.Do(func() {
		c.why = fmt.Errorf("%w: %s", ErrLost, why)
		close(c.lost)
	})
}

// Lost is closed when the helper is gone for good, before Close. Nothing is
// captured any more then.
func (c *rootClient) Lost() <-chan struct{} { return c.lost }

// Ending gets a reason to end, when somebody has told the helper or its watch to.
func (c *rootClient) Ending() <-chan string { return c.ending }

// Err says why the helper is gone; it wraps ErrLost. It is nil before that.
func (c *rootClient) Err() error {
	select {
	case <-c.lost:
		return c.why
	default:
		return nil
	}
}

// Apply implements platform.Network for the steering of the charter. It refuses
// others without asking. When the helper is gone so is what was applied.
func (c *rootClient) Apply(ctx context.Context, want platform.Steering) error {
	to, err := c.charter.covers(want)
	if err != nil {
		return err
	}
	c.applying.Lock()
	defer c.applying.Unlock()
	if c.Err() != nil {
		if to == on {
			return c.Err()
		}
		return nil // done or being done
	}
	if to == off && c.state == off {
		return nil
	}
	if to != off {
		c.state = to // also if nobody waits for the answer: it is to be taken back
	}
	if err := c.apply(ctx, to); err != nil {
		return err
	}
	c.state = to
	return nil
}

// apply asks for a state, and waits for the answer.
func (c *rootClient) apply(ctx context.Context, to state) error {
	answer := make(chan report, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.waiting[id] = answer
	c.mu.Unlock()
	if err := c.ask(request{kind: askApply, id: id, state: to}); err != nil {
		return fmt.Errorf("ask the helper: %w", err)
	}
	select {
	case r := <-answer:
		switch {
		case r.refused:
			return fmt.Errorf("%w: %s", ErrRefused, r.text)
		case r.errno != 0:
			return errors.New(string(r.text))
		}
		return nil
	case <-c.lost:
		return c.why
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close implements platform.Host: it takes back what is applied, ends the helper
// and the watch and waits for them.
func (c *rootClient) Close() error { return c.close() }

// end is Close, once.
func (c *rootClient) end() error {
	ctx, cancel := context.WithTimeout(context.Background(), rootApplyWithin)
	defer cancel()
	err := c.Apply(ctx, platform.Steering{})
	gone := c.Err() != nil // and by itself
	err = errors.Join(err, ignoreClosed(c.line.c.Close()))
	select {
	case e := <-c.watched:
		if e != nil && !gone {
			err = errors.Join(err, fmt.Errorf("the watch of the helper: %w", e))
		}
		c.ends.Wait()
	case <-time.After(rootEndWithin):
		err = errors.Join(err, fmt.Errorf("the helper and its watch (process %d) do not end", c.watch.Process.Pid))
	}
	if c.Host != nil {
		err = errors.Join(err, c.Host.Close())
	}
	return err
}

// ignoreClosed is for a line that a failed write has closed.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
