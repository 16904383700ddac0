package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// client does one job, which is its argument. It prints a line when everything
// is open and warm, starts at a line of input, prints the outcome, and ends with
// its input.
func client(ctx context.Context, args []string, stdin io.Reader, stdout, _ io.Writer) error {
	if len(args) != 1 {
		return errors.New("the client needs a job")
	}
	var j job
	if err := json.Unmarshal([]byte(args[0]), &j); err != nil {
		return err
	}
	run, done, err := j.prepare(ctx)
	if err != nil {
		return err
	}
	defer done()
	fmt.Fprintln(stdout, "ready")
	in := bufio.NewReader(stdin)
	switch _, err := in.ReadString('\n'); {
	case errors.Is(err, io.EOF):
		return nil // to be there was enough
	case err != nil:
		return fmt.Errorf("wait for the start: %w", err)
	}
	out, err := run()
	if err != nil {
		return err
	}
	if err := json.NewEncoder(stdout).Encode(out); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// prepare opens the job's connections and makes a first request on each.
func (j job) prepare(ctx context.Context) (run func() (outcome, error), done func(), err error) {
	d := newDialer(j)
	if j.Kind == connect || j.Kind == open {
		c, err := d.dial(ctx)
		if err != nil {
			return nil, nil, err
		}
		return func() (outcome, error) {
			if j.Kind == open {
				return j.open(ctx, d)
			}
			return j.connect(ctx, d)
		}, func() { c.Close() }, nil
	}
	conns, err := d.dialAll(ctx, j.Conns)
	done = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return func() (outcome, error) {
		switch j.Kind {
		case keepAlive:
			return j.keepAlive(conns)
		case atRate:
			return j.atRate(ctx, conns)
		case download:
			return j.download(conns[0].(*wire))
		}
		return outcome{}, fmt.Errorf("there is no kind of job %q", j.Kind)
	}, done, nil
}

func (j job) keepAlive(conns []visit) (outcome, error) {
	return j.untilOver(func(i int) error { return conns[i].get() })
}

func (j job) connect(ctx context.Context, d *dialer) (outcome, error) {
	return j.untilOver(func(int) error {
		c, err := d.dial(ctx)
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// untilOver has op done again and again, by as many goroutines as there are
// connections, and counts.
func (j job) untilOver(op func(i int) error) (outcome, error) {
	var over atomic.Bool
	ops, errs := make([]int, j.Conns), make([]error, j.Conns)
	began := time.Now()
	timer := time.AfterFunc(j.Round, func() { over.Store(true) })
	defer timer.Stop()
	var wg sync.WaitGroup
	for i := range j.Conns {
		wg.Go(func() {
			n := 0
			for errs[i] == nil && (n == 0 || !over.Load()) { // of nothing there are no figures
				errs[i] = op(i)
				n++
			}
			ops[i] = n
		})
	}
	wg.Wait()
	out := outcome{Elapsed: time.Since(began)}
	for _, n := range ops {
		out.Ops += n
	}
	return out, errors.Join(errs...)
}

// timerSlack is how late Go's timers are when all is idle.
const timerSlack = 1200 * time.Microsecond

// atRate makes a request at a time, each on a connection that has its turn.
// Latency counts from when it was due, even if the connection was busy.
func (j job) atRate(ctx context.Context, conns []visit) (outcome, error) {
	took := make([][]time.Duration, len(conns))
	elapsed, err := j.paced(ctx, func(i int, due time.Time) error {
		if err := conns[i].get(); err != nil {
			return err
		}
		took[i] = append(took[i], time.Since(due))
		return nil
	})
	out := outcome{Elapsed: elapsed}
	out.Ops, out.P50, out.P99 = percentiles(took)
	return out, err
}

// open opens a connection at a time for one request.
func (j job) open(ctx context.Context, d *dialer) (outcome, error) {
	stood, answered := make([][]time.Duration, j.Conns), make([][]time.Duration, j.Conns)
	elapsed, err := j.paced(ctx, func(i int, due time.Time) error {
		c, err := d.connect(ctx)
		if err != nil {
			return err
		}
		stood[i] = append(stood[i], time.Since(due))
		v, err := d.begin(ctx, c)
		if err != nil {
			return err
		}
		answered[i] = append(answered[i], time.Since(due))
		return v.Close()
	})
	out := outcome{Elapsed: elapsed}
	_, out.Stood50, out.Stood99 = percentiles(stood)
	out.Ops, out.P50, out.P99 = percentiles(answered)
	return out, err
}

// paced has op number i done at the time i/Rate, by one of as many goroutines as
// there are connections, which take turns. op is told when it was due; only a
// delay that is within what our own timer makes is left out.
func (j job) paced(ctx context.Context, op func(i int, due time.Time) error) (elapsed time.Duration, err error) {
	every := time.Second / time.Duration(j.Rate)
	errs := make([]error, j.Conns)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range j.Conns {
		wg.Go(func() {
			for at := time.Duration(i) * every; at < j.Round; at += time.Duration(j.Conns) * every {
				due := began.Add(at)
				if errs[i] = waitUntil(ctx, due); errs[i] != nil {
					return
				}
				if now := time.Now(); now.Sub(due) < timerSlack {
					due = now
				}
				if errs[i] = op(i, due); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began), errors.Join(errs...)
}

// percentiles returns how many there are, the median and the 99th percentile.
func percentiles(of [][]time.Duration) (n int, p50, p99 time.Duration) {
	all := slices.Concat(of...)
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return len(all), all[len(all)/2], all[len(all)*99/100]
}

func waitUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (j job) download(c *wire) (outcome, error) {
	began := time.Now()
	err := c.download(j.Bytes)
	return outcome{Ops: 1, Elapsed: time.Since(began)}, err
}
