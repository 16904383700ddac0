// Command bench puts a load on transom in a network of namespaces, and on what
// there is to compare it with: plain forwarding, HAProxy if it is installed, and
// a reverse proxy of net/http. It prints what they took for it. It judges nothing: it fails if something does
// not work, and never because something is slow.
//
// With million as its first argument it records as many flows to a directory in place of
// all that, and looks for some.
//
// The origin server, the clients and the reverse proxy are this program too, run again inside the
// namespaces, so that the processor time of a proxy's process is the proxy's
// alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"transom/platform/lab"
)

func main() {
	os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// start is the program without the process: it returns the exit code.
func start(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := role(controller)
	if other := roleOf(args); other != nil {
		run, args = other, args[1:]
	} else if done, code, err := lab.Reexec(); done {
		return code
	} else if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	err := run(ctx, args, stdin, stdout, stderr)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case ctx.Err() != nil:
		err = errors.New("interrupted")
	}
	fmt.Fprintln(stderr, "bench:", err)
	return 1
}

// A role is what the process does: by its first argument it is the origin
// server, a client or the reverse proxy, or records a million flows, and without
// such it is in charge of the others.
type role func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error

const (
	originRole  = "origin"
	clientRole  = "client"
	reverseRole = "reverse"
	millionRole = "million"
)

// roleOf returns the role that the first argument names, nil if it is none.
func roleOf(args []string) role {
	if len(args) == 0 {
		return nil
	}
	switch args[0] {
	case originRole:
		return origin
	case clientRole:
		return client
	case reverseRole:
		return reverse
	case millionRole:
		return millions
	}
	return nil
}

// options are the command line.
type options struct {
	transom  string
	measures []measure
	peers    []string
	rounds   int
	round    time.Duration
	limit    time.Duration
	size     int64 // bytes of a download
	idle     int   // connections
	json     bool
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.StringVar(&o.transom, "transom", "bin/transom", "the program to measure")
	names := fl.String("measures", "all", "which, separated by commas: "+strings.Join(measureNames(), ", "))
	peers := fl.String("peers", strings.Join(peerNames(), ","), "whom to measure, in this order")
	fl.IntVar(&o.rounds, "rounds", 3, "how often each of them is measured, in turn")
	fl.DurationVar(&o.round, "round", 1500*time.Millisecond, "how long each time")
	fl.DurationVar(&o.limit, "limit", 7*time.Minute, "begin nothing more after so long")
	megabytes := fl.Int64("size", 1000, "megabytes of a download")
	fl.IntVar(&o.idle, "idle", 1000, "idle connections")
	fl.BoolVar(&o.json, "json", false, "print a JSON object for each round, and no table")
	if err := fl.Parse(args); err != nil {
		return o, err
	}
	if fl.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fl.Arg(0))
	}
	if o.rounds < 1 || o.round <= 0 || *megabytes < 1 || o.idle <= conns {
		return o, fmt.Errorf("-rounds, -round and -size must be above zero, and -idle above %d", conns)
	}
	o.size = *megabytes * 1e6
	o.peers = strings.Split(*peers, ",")
	for _, p := range o.peers {
		if !slices.Contains(peerNames(), p) {
			return o, fmt.Errorf("there is no peer %q; there are %s", p, strings.Join(peerNames(), ", "))
		}
	}
	o.measures, err = choose(*names)
	return o, err
}

// choose returns the measures of a list of names.
func choose(names string) ([]measure, error) {
	if names == "all" {
		return measures(), nil
	}
	var chosen []measure
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(measures(), func(m measure) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no measure %q; there are %s", name, strings.Join(measureNames(), ", "))
		}
		chosen = append(chosen, measures()[i])
	}
	return chosen, nil
}

// controller measures everything and prints it.
func controller(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) (err error) {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	peers, err := find(o.peers, o.transom, stderr)
	if err != nil {
		return err
	}
	began := time.Now()
	w, err := newWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	b := &bench{world: w, options: o, peers: peers, ends: began.Add(o.limit), progress: stderr}
	if o.json {
		b.each = jsonLines(stdout)
	}
	if err := b.run(ctx); err != nil {
		return err
	}
	if o.json {
		return nil
	}
	return printTable(stdout, about(ctx, peers), b.results, peers)
}
