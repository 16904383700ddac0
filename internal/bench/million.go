package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"time"

	"transom/app/mitm"
	"transom/flow"
	"transom/store"
)

// A million is a store with very many flows, and what it takes to record them, and to
// find some. All is one process, so the memory that it has is that of the store and of
// what makes up the flows, which is about 10 MiB.
type million struct {
	flows    int64
	dir      string
	words    bool
	trigrams bool
	profile  string
	progress io.Writer

	d     *store.Disk
	mix   *mix
	facts [][]string // what, and how much
	pages [][]string // a column for each order
}

// millions records flows, looks for some, and prints what that took.
func millions(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) (err error) {
	x := &million{progress: stderr}
	fl := flag.NewFlagSet("bench "+millionRole, flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Int64Var(&x.flows, "flows", 1_000_000, "how many")
	fl.StringVar(&x.dir, "dir", "", "where to record them, which must not be there yet (default: a directory that is removed in the end)")
	fl.BoolVar(&x.words, "words", true, "index words, too")
	fl.BoolVar(&x.trigrams, "trigrams", false, "index trigrams, too")
	fl.StringVar(&x.profile, "profile", "", "write cpu.pprof and heap.pprof of the recording to this directory")
	if err := fl.Parse(args); err != nil {
		return err
	}
	if fl.NArg() > 0 || x.flows < 1 {
		return errors.New("want options alone, and at least one flow")
	}
	if x.dir == "" {
		if x.dir, err = os.MkdirTemp("", "transom-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(x.dir)) }()
	} else if _, err := os.Lstat(x.dir); err == nil {
		return fmt.Errorf("%s is there already", x.dir)
	}
	if x.d, err = store.OpenDisk(store.DiskOptions{Dir: x.dir, Words: x.words, Trigrams: x.trigrams, Thrift: true}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, x.d.Close()) }()
	if err := x.run(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s\n\n%s\n%s", machine(), aligned(x.facts), aligned(x.pages))
	return err
}

// run does one thing after the other.
func (x *million) run(ctx context.Context) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"record", x.profiled},
		{"index", x.index},
		{"size", x.size},
		{"first pages", x.firstPages},
		{"words", x.lookForWords},
		{"substrings", x.lookForText},
		{"memory", x.peak},
		{"mitmproxy's file", x.written},
	} {
		fmt.Fprintln(x.progress, step.what)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (x *million) say(what, format string, args ...any) {
	x.facts = append(x.facts, []string{what, fmt.Sprintf(format, args...)})
}

// profiled records, and writes profiles of that if they are wanted.
func (x *million) profiled(ctx context.Context) (err error) {
	if x.profile == "" {
		return x.record(ctx)
	}
	cpu, err := os.Create(filepath.Join(x.profile, "cpu.pprof"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cpu.Close()) }()
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return err
	}
	err = x.record(ctx)
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	heap, err := os.Create(filepath.Join(x.profile, "heap.pprof"))
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("heap").WriteTo(heap, 0), heap.Close())
}

// most is how much may wait to be written: more than of any traffic, and so little that
// exchanges are written as they begin and again as they end, as they would be in life.
const most = 4 << 20

// record records the flows as fast as they are written.
func (x *million) record(ctx context.Context) error {
	x.mix = newMix(x.d)
	began, before := time.Now(), x.spent()
	for x.mix.flows < x.flows {
		if err := x.mix.next(time.Now()); err != nil {
			return err
		}
		for x.mix.flows%64 == 0 && x.d.Stats().Queued > most {
			if err := waitUntil(ctx, time.Now().Add(time.Millisecond)); err != nil {
				return err
			}
		}
	}
	if err := x.mix.end(time.Now()); err != nil {
		return err
	}
	if err := x.d.Sync(ctx); err != nil {
		return err
	}
	s := x.d.Stats()
	x.say("flows", "%d, with %d MiB of bodies", s.Flows, x.mix.bodies>>20)
	x.say("lost", "%d flows, %d ends of bodies", s.Refused, s.TruncatedBody)
	x.say("written in", "%v, all processors %v", time.Since(began).Round(time.Second), (x.spent() - before).Round(time.Second/10))
	return nil
}

func (x *million) spent() time.Duration {
	d, err := processorTime(os.Getpid())
	if err != nil {
		return 0 // /proc is of another system
	}
	return d
}

// index waits until all is in the index.
func (x *million) index(ctx context.Context) error {
	behind := x.d.Stats().Behind
	began, before := time.Now(), x.spent()
	for _, err := range x.d.Flows(ctx, store.Query{By: store.BySize, Limit: 1}) {
		if err != nil {
			return err
		}
	}
	x.say("indexed", "%v later, all processors %v: it was about %d records behind", time.Since(began).Round(time.Millisecond), (x.spent() - before).Round(time.Second/10), behind)
	return x.peak(ctx)
}

// peak says how much memory this process has had so far.
func (x *million) peak(context.Context) error {
	n, err := memory(os.Getpid(), "VmHWM")
	if err != nil {
		return err
	}
	what := "memory until here"
	if x.pages != nil {
		what = "memory after all of this"
	}
	x.say(what, "at most %d MiB", n>>20)
	return nil
}

// size says what is on disk.
func (x *million) size(context.Context) error {
	all, index := int64(0), int64(0)
	list, err := os.ReadDir(x.dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return err
		}
		if all += info.Size(); strings.HasPrefix(e.Name(), "index.db") {
			index += info.Size()
		}
	}
	x.say("on disk", "%d MiB, and %d MiB of index", (all-index)>>20, index>>20)
	return nil
}

// written says how large a file of mitmproxy's with the same flows is. It is written to nowhere.
func (x *million) written(ctx context.Context) error {
	var n counted
	out := bufio.NewWriterSize(&n, 1<<20)
	w, err := mitm.NewWriter(out, mitm.Options{})
	if err != nil {
		return err
	}
	for f, err := range x.d.Flows(ctx, store.Query{}) {
		if err == nil && f.State != flow.Open {
			err = w.Write(ctx, f, x.d)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(w.Finish(ctx, x.d), out.Flush()); err != nil {
		return err
	}
	x.say("in mitmproxy's file", "%d MiB, without %d connections as a whole", int64(n)>>20, w.LeftOut().Connections)
	return nil
}

// counted is how much was written.
type counted int64

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	*c += counted(len(p))
	return len(p), nil
}
