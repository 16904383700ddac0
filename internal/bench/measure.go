package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A measure is one thing that is done with every peer.
type measure struct {
	name   string
	title  string
	job    job
	pass   bool    // the peers pass bytes through as they are
	once   bool    // one round is enough
	method *method // of a gateway that steers, if that is what is measured
	inside bool    // the client is started by transom run
	store  bool    // transom records to a directory
	rows   []row
}

// A row is one line of the table.
type row struct {
	what string
	of   func(s sample) float64 // 0 if there is none
}

// value is of, for samples of nothing too.
func (r row) value(s sample) float64 {
	if s.Ops == 0 {
		return 0
	}
	return r.of(s)
}

// A sample is what one round of one measure gave for one peer.
type sample struct {
	outcome
	Processor time.Duration // that the proxy's process took
	Size      int64         // bytes of a download
	Resident  int64         // bytes that the proxy's process has for an idle connection
}

// conns is how many connections are used at a time.
const conns = 32

// rate is that of jobs at a fixed rate, in requests a second.
const rate = 500

// measures returns all there is to measure, in order.
func measures() []measure {
	cpu := row{"CPU, µs", func(s sample) float64 { return float64(s.Processor.Nanoseconds()) / 1e3 / float64(s.Ops) }}
	perOp := []row{
		cpu,
		{"a second", func(s sample) float64 { return float64(s.Ops) / s.Elapsed.Seconds() }},
	}
	multiplexed := func(conns, streams int) job {
		return job{Kind: keepAlive, Proto: h2, TLS: true, Conns: conns, Flight: streams}
	}
	latency := []row{
		cpu,
		{"p50, ms", func(s sample) float64 { return s.P50.Seconds() * 1e3 }},
		{"p99, ms", func(s sample) float64 { return s.P99.Seconds() * 1e3 }},
	}
	bulk := []row{
		{"CPU, ms a GB", func(s sample) float64 { return s.Processor.Seconds() * 1e3 * 1e9 / float64(s.Size) }},
		{"MB/s", func(s sample) float64 { return float64(s.Size) / 1e6 / s.Elapsed.Seconds() }},
	}
	memory := []row{{"RSS, KB", func(s sample) float64 { return float64(s.Resident) / 1024 }}}
	return append([]measure{
		{name: "http", title: "HTTP/1.1 request, keep-alive", job: job{Kind: keepAlive, Conns: conns}, rows: perOp},
		{name: "https", title: "HTTPS request, keep-alive", job: job{Kind: keepAlive, TLS: true, Conns: conns}, rows: perOp},
		{name: "h2", title: "HTTP/2 request, alone on its connection", job: multiplexed(conns, 1), rows: perOp},
		{name: "h2-32", title: "HTTP/2 request, 32 streams at a time", job: multiplexed(conns/4, 32), rows: perOp},
		{name: "h2-100", title: "HTTP/2 request, 100 streams at a time", job: multiplexed(conns/8, 100), rows: perOp},
		{name: "ws", title: "WebSocket message there and back", job: job{Kind: keepAlive, Proto: ws, TLS: true, Conns: conns, Flight: 1}, rows: perOp},
		{name: "ws-16", title: "the same, 16 at a time", job: job{Kind: keepAlive, Proto: ws, TLS: true, Conns: conns / 4, Flight: 16}, rows: perOp},
		{name: "ws-deflate", title: "the same, compressed", job: job{Kind: keepAlive, Proto: ws, Deflate: true, TLS: true, Conns: conns / 4, Flight: 16}, rows: perOp},
		{name: "http-rate", title: "HTTP/1.1, 500 requests a second", job: job{Kind: atRate, Rate: rate, Conns: conns}, rows: latency},
		{name: "https-rate", title: "HTTPS, 500 requests a second", job: job{Kind: atRate, TLS: true, Rate: rate, Conns: conns}, rows: latency},
		{name: "store-https", title: "HTTPS request, recorded to disk", job: job{Kind: keepAlive, TLS: true, Conns: conns}, store: true, rows: perOp},
		{name: "store-h2", title: "HTTP/2 request, 32 streams, recorded to disk", job: multiplexed(conns/4, 32), store: true, rows: perOp},
		{name: "connect", title: "new TLS connection", job: job{Kind: connect, TLS: true, Conns: conns / 2}, rows: perOp},
		{name: "connect-new", title: "new TLS connection, new name", job: job{Kind: connect, TLS: true, Names: true, Conns: conns / 2}, rows: perOp},
		{name: "download", title: "download over TLS, decrypted", job: job{Kind: download, TLS: true, Conns: 1}, rows: bulk},
		{name: "pass", title: "download passed through", job: job{Kind: download, Conns: 1}, pass: true, rows: bulk},
		{name: "idle", title: "idle HTTPS connection", job: job{Kind: idle, TLS: true}, once: true, rows: memory},
		{name: "idle-pass", title: "idle connection passed through", job: job{Kind: idle}, pass: true, once: true, rows: memory},
	}, append(methods(perOp, bulk), insides(perOp, bulk)...)...)
}

func measureNames() []string {
	var names []string
	for _, m := range measures() {
		names = append(names, m.name)
	}
	return names
}

// settle is how long a proxy with nothing to do is given to let go of memory.
const settle = 3 * time.Second

// sample does the measure once with a proxy.
func (b *bench) sample(ctx context.Context, m measure, x *proxy) (s sample, err error) {
	if x.command != nil && x.cmd == nil && x.by == nil {
		return s, nil // it can't
	}
	if m.inside {
		return b.insideSample(ctx, m, x)
	}
	if err := b.redirect(x.ports); err != nil {
		return s, err
	}
	j := m.job
	j.Own, j.Round, j.Bytes = m.pass || x.cmd == nil, b.options.round, b.options.size
	if m.method != nil {
		if x.cmd == nil {
			j.From = excluded
		}
		if err := b.comesFrom(ctx, m.method, x.cmd != nil); err != nil {
			return s, err
		}
	}
	if j.Kind == idle {
		if x.cmd == nil {
			return s, nil
		}
		return b.idleSample(ctx, j, x)
	}
	c, err := b.startClient(ctx, j)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	before, err := x.processorTime()
	if err != nil {
		return s, err
	}
	if s.outcome, err = c.run(); err != nil {
		return s, err
	}
	after, err := x.processorTime()
	s.Processor, s.Size = after-before, j.Bytes
	if err == nil && x.cmd != nil && s.Processor <= 0 {
		err = fmt.Errorf("%s did nothing: the redirection does not work here", x.name)
	}
	return s, err
}

// idleSample compares the memory after some connections came and went with that
// while many are open.
func (b *bench) idleSample(ctx context.Context, j job, x *proxy) (s sample, err error) {
	j.Conns = conns
	before, err := b.resident(ctx, j, x)
	if err != nil {
		return s, err
	}
	j.Conns = b.options.idle
	after, err := b.resident(ctx, j, x)
	s.Ops, s.Resident = j.Conns, (after-before)/int64(j.Conns-conns)
	return s, err
}

// resident returns the memory in use while a job's connections are idle.
func (b *bench) resident(ctx context.Context, j job, x *proxy) (n int64, err error) {
	c, err := b.startClient(ctx, j)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	if err := waitUntil(ctx, time.Now().Add(settle)); err != nil {
		return 0, err
	}
	return residentBytes(x.cmd.Process.Pid)
}

func (x *proxy) processorTime() (time.Duration, error) {
	if x.cmd == nil {
		return 0, nil
	}
	return processorTime(x.cmd.Process.Pid)
}
