package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// insides measure what it costs a program to be started by transom run, on a host of
// its own: the client is what is started so, and with plain forwarding it is started
// as it is.
func insides(perOp, bulk []row) []measure {
	milliseconds := func(of func(sample) time.Duration) func(sample) float64 {
		return func(s sample) float64 { return of(s).Seconds() * 1e3 }
	}
	start := []row{
		{"p50, ms", milliseconds(func(s sample) time.Duration { return s.P50 })},
		{"p99, ms", milliseconds(func(s sample) time.Duration { return s.P99 })},
	}
	rates := func(rows []row) []row { // processor time is that of the client, too
		return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return len(r.what) > 3 && r.what[:3] == "CPU" })
	}
	all := []measure{
		{name: "run-start", title: "run: start and end of a program", job: job{Kind: startUp}, rows: start},
		{name: "run-https", title: "run: HTTPS request, keep-alive", job: job{Kind: keepAlive, TLS: true, Conns: conns}, rows: rates(perOp)},
		{name: "run-connect", title: "run: new TLS connection", job: job{Kind: connect, TLS: true, Conns: conns / 2}, rows: rates(perOp)},
		{name: "run-dns", title: "run: DNS query, new port", job: job{Kind: connect, Proto: dns, Conns: conns / 2}, rows: rates(perOp)},
		{name: "run-download", title: "run: download over TLS, decrypted", job: job{Kind: download, TLS: true, Conns: 1}, rows: rates(bulk)},
		{name: "run-pass", title: "run: download passed through", job: job{Kind: download, Conns: 1}, pass: true, rows: rates(bulk)},
	}
	for i := range all {
		all[i].inside = true
	}
	return all
}

// runCommand is what a program is started by. Flows are recorded, and printed to
// nobody.
func runCommand(w *world, m measure, program string) []string {
	args := []string{program, "run", "--ca-dir", w.path("ca"), "--upstream-ca", w.path(rootFile), "-q"}
	if m.pass {
		args = append(args, "--ignore-hosts", ".")
	}
	return append(args, "--")
}

// insideSample is sample for a measure of insides.
func (b *bench) insideSample(ctx context.Context, m measure, x *proxy) (s sample, err error) {
	if err := b.redirect(nil); err != nil {
		return s, err
	}
	j := m.job
	j.Own, j.Round, j.Bytes = m.pass || x.by == nil, b.options.round, b.options.size
	s.Size = j.Bytes
	if j.Kind == startUp {
		s.outcome, err = b.startUp(ctx, j, x.by)
		return s, err
	}
	c, err := b.startClient(ctx, j, x.by...)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	s.outcome, err = c.run()
	return s, err
}

// startUp starts a program that does nothing, again and again.
func (b *bench) startUp(ctx context.Context, j job, by []string) (out outcome, err error) {
	nothing, err := exec.LookPath("true")
	if err != nil {
		return out, err
	}
	args := append(slices.Clone(by), nothing)
	var took []time.Duration
	for began := time.Now(); len(took) == 0 || out.Elapsed < j.Round; out.Elapsed = time.Since(began) {
		one := time.Now()
		if said, err := b.Client.Command(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return out, fmt.Errorf("%s: %w: %s", args[0], err, said)
		}
		took = append(took, time.Since(one))
	}
	slices.Sort(took)
	out.Ops, out.P50, out.P99 = len(took), took[len(took)/2], took[len(took)*99/100]
	return out, nil
}
