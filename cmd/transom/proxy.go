package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom"
	"transom/app/show"
	"transom/app/view"
	"transom/capture"
	"transom/filter"
	"transom/platform"
)

// proxyFlags are those of every command that runs the proxy: what is done with
// connections once they are there, and who does it.
type proxyFlags struct {
	ignore, allow, tcp []string

	caDir        string
	keylog       string
	upstreamCA   string
	insecure     bool
	onTLSFailure string
	mimic        string

	saved     saveFlags
	dumped    dumpFlags
	redact    redactFlag
	out       string
	detail    numberFlag
	proto     protoFlag
	schema    *view.Schema // of proto
	json      bool
	quiet     bool
	filter    string
	given     bool           // filter is, behind the options
	chosen    *filter.Filter // compiled
	verbose   bool
	logFormat string
	record    recordFlags

	grace      durationFlag
	tcpTimeout numberFlag

	user  string
	spoof spoofFlag
	// unproven says that addresses are not assumed after all.
	unproven bool
	flags    *pflag.FlagSet
}

// A job is what a command has to capture.
type job struct {
	captures []capture.Capture
	steering platform.Steering
	spoof    string // what --spoof-source is if it isn't given
	// open gets hold of the host, while the process still has its rights. It may
	// still change what is captured.
	open func(context.Context, *transom.Proxy, *rights) (platform.Host, error)
	// begun is what there is to say when everything listens, at these addresses.
	begun func(*transom.Proxy, []net.Addr) []string
	// ready, if set, is called when all is open and files can still be read, and
	// begin in place of begun, to begin what is captured when they can't any more.
	ready func() error
	begin func(*transom.Proxy) error
	out   io.Writer // where flows go without -o; nil is stdout
	// attend, if set, decides on the end in the place of signals: drain begins it.
	// What it returns is called when it is over.
	attend func(drain func(), p *transom.Proxy) (stop func())
	calm   bool // only warnings are logged, unless with -v
}

// run checks all of the command line before it starts anything.
func (f *proxyFlags) run(cmd *cobra.Command, j *job) (err error) {
	ctx, stdout, stderr := cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	p := &transom.Proxy{Captures: j.captures, Steering: j.steering, Log: f.logger(stderr, j)}
	if err := f.settings(&p.Settings, cmp.Or(j.spoof, "none")); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return &usageError{err}
	}
	f.timeouts(p)
	r, err := rightsFor(f.user, p.Log)
	if err != nil {
		return err
	}
	err = r.asUser(func() (err error) {
		f.schema, err = f.proto.read()
		return err
	})
	if err != nil {
		return err
	}
	opened, closeStore, err := f.record.open(r, time.Duration(f.grace), p.Log)
	if err != nil {
		return err
	}
	p.Store = opened
	defer func() { err = errors.Join(err, closeStore()) }()
	defer func() { err = errors.Join(err, closeOwners(p), closeDevices(p)) }()
	p.Host, err = j.open(ctx, p, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Host.Close()) }()
	signer, closeLog, err := f.authority(p, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	if j.out != nil && f.out != "-" {
		stdout = j.out
	}
	out, done, err := f.output(stdout, r) // late, since it empties the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	saved, err := f.savers(p, cmd.OutOrStdout(), r)
	defer func() {
		for _, s := range saved {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx), p))
		}
	}()
	if err != nil {
		return err
	}
	if j.ready != nil {
		if err := j.ready(); err != nil {
			return err
		}
	}
	defer letLook(p, r, f.record.about())()
	p.Listening = func(at []net.Addr) error {
		if err := f.testSpoofing(ctx, p); err != nil {
			return err
		}
		var lines []string
		if j.begun != nil {
			lines = append(j.begun(p, at), r.whom()...) // which the kernel is asked for, and later it can't be
		}
		if err := r.confine(); err != nil {
			return err
		}
		if j.begin != nil {
			return j.begin(p)
		}
		f.tellBegun(p.Log, slices.Concat(lines, f.choosing(), f.record.where(p.Store), f.withheld()), signer)
		return nil
	}
	return f.serve(ctx, p, j, out, saved)
}

// A helped host goes through a helper; see helper.Client.
type helped interface {
	Lost() <-chan struct{}
	Ending() <-chan string
	Err() error
}

// testSpoofing makes sure that answers to assumed addresses would come back to
// us, as far as this host can tell. If they don't, and nobody has asked for it,
// it is done without.
func (f *proxyFlags) testSpoofing(ctx context.Context, p *transom.Proxy) error {
	host, ok := p.Host.(interface{ SelfTest(context.Context) error })
	if !p.Steering.Spoof || !ok {
		return nil
	}
	err := host.SelfTest(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case f.spoof.given():
		return fmt.Errorf("--spoof-source %s: %w", p.Spoof, err)
	}
	p.Log.Warn("servers see this host's address: the test of --spoof-source has failed", "spoof_source", p.Spoof, "err", err)
	p.Spoof.Off()
	f.unproven = true
	return nil
}

func (f *proxyFlags) timeouts(p *transom.Proxy) {
	p.Timeouts.Idle = time.Duration(f.tcpTimeout.value) * time.Second
	if f.tcpTimeout.value == 0 {
		p.Timeouts.Idle = -1
	}
	p.Timeouts.Grace = max(time.Duration(f.grace), 1) // for a person 0 is none, for the library it is the default
}

// add defines the flags.
func (f *proxyFlags) add(fl *pflag.FlagSet) {
	f.flags = fl
	f.detail = numberFlag{value: 1, max: 4, name: "LEVEL"}
	f.grace = durationFlag(10 * time.Second)
	f.tcpTimeout = numberFlag{value: 600, max: 1 << 30, name: secondsName}
	fl.StringArrayVar(&f.ignore, "ignore-hosts", nil, "pass connections whose host:port matches this `REGEX`; may be repeated")
	fl.StringArrayVar(&f.allow, "allow-hosts", nil, "pass all connections but those whose host:port matches this `REGEX`; may be repeated")
	fl.StringArrayVar(&f.tcp, "tcp-hosts", nil, "take TLS off and record the bytes inside, for hosts that match this `REGEX`; may be repeated")
	addCADir(fl, &f.caDir)
	fl.StringVar(&f.keylog, "keylog", "", "append the TLS secrets of both legs to this `FILE` (NSS format)")
	fl.StringVar(&f.upstreamCA, "upstream-ca", "", "trust servers under the certificates in this PEM `FILE` as well as the system's")
	fl.BoolVarP(&f.insecure, "ssl-insecure", "k", false, "accept any certificate of a server")
	fl.StringVar(&f.mimic, "tls-mimic", "go", "whose ClientHello a server sees: `go` is one of Go's that follows the client's")
	fl.StringVar(&f.onTLSFailure, "on-upstream-tls-failure", "mirror", "when TLS with a server fails, show the client the same, answer 502, or pass undecrypted: `mirror|502|pass`")
	fl.StringVarP(&f.out, "output", "o", "", "write flows to this `FILE`, in place of what it held; to +FILE, behind that; to &3, where descriptor 3 goes; to -, stdout (default: stdout)")
	f.saved.add(fl)
	f.dumped.add(fl)
	f.redact.add(fl, "what is shown and of the files of -w, --hardump and --pcap")
	fl.Var(&f.detail, "flow-detail", "how much to show of a flow: 0 nothing, 1 a line, 2 heads, 3 streams as they come, 4 bodies in full")
	f.proto.add(fl)
	fl.StringVar(&f.filter, "filter", "", "show only flows that match `EXPR`, in mitmproxy's language, as in '~d example\\.com & !~c 200'")
	fl.BoolVar(&f.json, "json", false, "show flows as JSON, one object a line")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "show no flows")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log each connection, to stderr: where it was going, what was found in it, how it ended")
	f.record.add(fl)
	fl.Var(&f.tcpTimeout, "tcp-timeout", "end a connection on which nothing has moved for so long; 0 is never")
	fl.StringVar(&f.user, "user", "", "run as this `USER` once everything is open (default, if root started it: whoever called sudo, or nobody)")
	f.spoof.add(fl)
	fl.StringVar(&f.logFormat, "log-format", "lines", "how messages are written to stderr: `lines|logfmt`, for a person, or with time and level for a program")
	fl.Var(&f.grace, "grace", "how long, as 30s or 2m, open connections may go on after the first interrupt")
}

// check refuses values that make no sense, alone or together.
func (f *proxyFlags) check() error {
	switch {
	case f.logFormat != "lines" && f.logFormat != "logfmt":
		return fmt.Errorf("--log-format %q: want lines or logfmt", f.logFormat)
	case f.out == "+":
		return errors.New("-o +: the name of a file is missing")
	case f.quiet && len(f.proto.names) > 0:
		return errors.New("-q shows no flows: leave it out, or --proto")
	case f.quiet && (f.json || f.out != ""):
		return errors.New("-q shows no flows: leave it out, or --json and -o")
	}
	if err := f.proto.check(f.detail.value, f.json); err != nil {
		return err
	}
	if err := f.record.check(); err != nil {
		return err
	}
	if err := f.saved.check(f.flags, f.out, f.quiet); err != nil {
		return err
	}
	if err := f.dumped.check(f.out, f.quiet, f.saved.file); err != nil {
		return err
	}
	if len(f.redact.texts) > 0 && (f.quiet || f.detail.value == 0) && !f.saves() {
		return errors.New("--redact: no flows are shown or saved that something could be left out of")
	}
	if err := errors.Join(f.formats(), f.apart(), f.redact.read()); err != nil {
		return err
	}
	return f.readFilter()
}

// apart refuses one file for two things, which would write over each other.
func (f *proxyFlags) apart() error {
	taken := map[string]string{}
	for _, of := range []struct{ option, file string }{
		{"-o", f.out}, {"-w", f.saved.file}, {"--hardump", f.dumped.har}, {"--pcap", f.dumped.pcap}, {"--keylog", f.keylog},
	} {
		name := strings.TrimPrefix(of.file, "+")
		if name == "" || name == "-" || strings.HasPrefix(name, "&") {
			continue
		}
		name, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		if other := taken[name]; other != "" {
			return fmt.Errorf("%s and %s are both to write to %s: give each a file of its own", other, of.option, name)
		}
		taken[name] = of.option
	}
	return nil
}

// serve runs p and shows its flows until a signal ends it.
func (f *proxyFlags) serve(ctx context.Context, p *transom.Proxy, j *job, out io.Writer, saved []*saver) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	attend := j.attend
	if attend == nil {
		attend = func(drain func(), p *transom.Proxy) func() { return handleSignals(drain, p, &f.grace).close }
	}
	defer attend(func() { cancel(nil) }, p)()
	defer hurry(ctx, p.Store, time.Duration(f.grace))()

	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWatching()
	var shown error
	var wg sync.WaitGroup
	to := &sink{w: out, log: p.Log}
	if !f.quiet {
		watch := p.Watch
		if f.detail.value >= 3 {
			watch = p.Follow
		}
		news := watch(watching)
		wg.Go(func() {
			shown = show.Run(watching, to, news, show.Options{
				Detail: f.detail.value, JSON: f.json, Store: p.Flows(), Log: p.Log, Color: show.ColorFor(out), Filter: f.chosen, Redact: f.redact.rules, Schema: f.schema,
			})
			if shown != nil {
				p.Log.Warn("stopping, as nobody reads the flows any more: " + f.grace.grace())
				cancel(nil)
			}
		})
	}
	for _, s := range saved {
		wg.Go(func() {
			if err := s.run(watching, p); err != nil {
				p.Log.Warn(fmt.Sprintf("stopping, as nobody reads what is saved any more: %v; %s", err, f.grace.grace()))
				cancel(nil)
			}
		})
	}
	if h, ok := p.Host.(helped); ok {
		wg.Go(func() {
			select {
			case <-h.Lost():
				p.Log.Warn(fmt.Sprintf("stopping: %v; %s", h.Err(), f.grace.grace()))
				cancel(h.Err())
			case why := <-h.Ending():
				p.Log.Warn("stopping, as " + why + ": " + f.grace.grace())
				cancel(nil)
			case <-ctx.Done():
			}
		})
	}
	err := p.Run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	cancel(nil)
	p.Close()
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w; end what listens there, or choose another port with -p", err)
	}
	wg.Wait() // for who reads our output, however slowly
	if errors.Is(shown, syscall.EPIPE) {
		shown = nil // whoever read our output has seen enough
	}
	return errors.Join(err, shown, to.err())
}
