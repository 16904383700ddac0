package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"transom"
	"transom/app/landing"
	"transom/app/show"
	"transom/ca"
	"transom/capture"
	"transom/platform"
	"transom/policy"
	"transom/store"
)

// minStore is the least that --store-max may be.
const minStore sizeFlag = 64 << 10

type listenFlags struct {
	modes       []string
	transparent bool
	host        string
	port        numberFlag

	ignore, allow, tcp []string

	caDir        string
	keylog       string
	upstreamCA   string
	insecure     bool
	onTLSFailure string
	mimic        string

	out       string
	detail    numberFlag
	json      bool
	quiet     bool
	verbose   bool
	storeMax  sizeFlag
	bodyLimit sizeFlag

	grace      time.Duration
	tcpTimeout numberFlag
}

func listenCommand() *cobra.Command {
	f := &listenFlags{
		storeMax: 32 << 20, bodyLimit: 1 << 20,
		port:       numberFlag{value: defaultPort, max: 65535, name: "PORT"},
		detail:     numberFlag{value: 1, max: 4, name: "LEVEL"},
		tcpTimeout: numberFlag{value: 600, max: 1 << 30, name: "SECONDS"},
	}
	cmd := &cobra.Command{
		Use:   "listen [--mode SPEC]",
		Short: "Open listeners for traffic that your own rules redirect",
		Long: `listen opens listeners and nothing else: the host's redirection rules are yours.
In transparent mode every connection that a REDIRECT or TPROXY rule brings is
read, shown, and carried on to where its client meant to go. A connection made
to the port itself gets a page that offers the certificate, or is served as by
an ordinary HTTP proxy.`,
		Example: `  transom listen --mode transparent
  transom listen -T -p 8443 --ignore-hosts '\.bank\.example:443$' --json -o flows.ndjson`,
		Args: noArguments,
	}
	fl := cmd.Flags()
	fl.StringArrayVarP(&f.modes, "mode", "m", nil, "what to listen for, `SPEC`: transparent[@[host:]port] (default: transparent); may be repeated")
	fl.BoolVarP(&f.transparent, "transparent", "T", false, "short for --mode transparent")
	fl.StringVar(&f.host, "listen-host", "", "`ADDRESS` to listen on (default: all, IPv4 and IPv6)")
	fl.VarP(&f.port, "listen-port", "p", "port to listen on")
	fl.StringArrayVar(&f.ignore, "ignore-hosts", nil, "pass connections whose host:port matches this `REGEX`; may be repeated")
	fl.StringArrayVar(&f.allow, "allow-hosts", nil, "pass all connections but those whose host:port matches this `REGEX`; may be repeated")
	fl.StringArrayVar(&f.tcp, "tcp-hosts", nil, "take TLS off and record the bytes inside, for hosts that match this `REGEX`; may be repeated")
	addCADir(fl, &f.caDir)
	fl.StringVar(&f.keylog, "keylog", "", "append the TLS secrets of both legs to this `FILE` (NSS format)")
	fl.StringVar(&f.upstreamCA, "upstream-ca", "", "trust servers under the certificates in this PEM `FILE` as well as the system's")
	fl.BoolVarP(&f.insecure, "ssl-insecure", "k", false, "accept any certificate of a server")
	fl.StringVar(&f.mimic, "tls-mimic", "go", "whose ClientHello a server sees: one of Go's that follows the client's (go)")
	fl.StringVar(&f.onTLSFailure, "on-upstream-tls-failure", "mirror", "when TLS with a server fails, show the client the same, answer 502, or pass undecrypted: `mirror|502|pass`")
	fl.StringVarP(&f.out, "output", "o", "", "write flows to this `FILE`, in place of what it held; to +FILE, behind that (default: stdout)")
	fl.Var(&f.detail, "flow-detail", "how much to show of a flow, 0 to 4")
	fl.BoolVar(&f.json, "json", false, "one JSON object a line")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "show no flows")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log each connection, to stderr: where it was going, what was found in it, how it ended")
	fl.Var(&f.storeMax, "store-max", "memory for recorded flows and bodies, at least 64k")
	fl.Var(&f.bodyLimit, "body-limit", "how much of one body is kept")
	fl.Var(&f.tcpTimeout, "tcp-timeout", "end a connection on which nothing has moved for so long; 0 is never")
	fl.DurationVar(&f.grace, "grace", 10*time.Second, "how long, as a `DURATION` such as 30s, open connections may go on after the first interrupt")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		if !fl.Changed("body-limit") {
			f.bodyLimit = min(f.bodyLimit, f.storeMax)
		}
		return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
	})
	return cmd
}

// run checks all of the command line before it starts anything.
func (f *listenFlags) run(ctx context.Context, stdout, stderr io.Writer) (err error) {
	captures, err := f.captures()
	if err != nil {
		return &usageError{err}
	}
	p := &transom.Proxy{Captures: captures, Log: logger(stderr, f.verbose)}
	if err := f.settings(&p.Settings); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return &usageError{err}
	}
	p.Timeouts.Idle = time.Duration(f.tcpTimeout.value) * time.Second
	if f.tcpTimeout.value == 0 {
		p.Timeouts.Idle = -1
	}
	p.Timeouts.Grace = max(f.grace, 1) // for a person 0 is none, for the library it is the default
	signer, closeLog, err := f.authority(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	p.Store = store.NewMemory(f.store())
	defer p.Store.Close()
	p.Host, err = platform.Here(p.Log)
	if err != nil {
		return err
	}
	defer p.Host.Close()
	out, done, err := f.output(stdout) // last, since it empties the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	p.Listening = func([]net.Addr) {
		p.Log.Info("signing for servers", "authority", signer.Path, "sha256", signer.SHA256, "new", signer.Made)
	}
	return f.serve(ctx, p, out, stderr)
}

// check refuses values that make no sense, alone or together.
func (f *listenFlags) check() error {
	switch {
	case f.storeMax < minStore:
		return fmt.Errorf("--store-max %s: want at least %s, for the flows that are under way", &f.storeMax, minStore.String())
	case f.bodyLimit > f.storeMax:
		return fmt.Errorf("--body-limit %s: want at most --store-max, %s", &f.bodyLimit, &f.storeMax)
	case f.grace < 0:
		return fmt.Errorf("--grace %s: want 0 or more", f.grace)
	case f.quiet && (f.json || f.out != ""):
		return errors.New("-q shows no flows: leave it out, or --json and -o")
	}
	return nil
}

// serve runs p and shows its flows until a signal ends it.
func (f *listenFlags) serve(ctx context.Context, p *transom.Proxy, out, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := handleSignals(cancel, p, stderr)
	defer stop.close()

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
				Detail: f.detail.value, JSON: f.json, Store: p.Flows(), Log: p.Log, Color: show.ColorFor(out),
			})
			if shown != nil {
				fmt.Fprintf(stderr, "transom: stopping: nobody reads the flows any more; open connections may finish within %s\n", f.grace)
				cancel()
			}
		})
	}
	err := p.Run(ctx)
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

func (f *listenFlags) captures() ([]capture.Capture, error) {
	modes := f.modes
	if f.transparent && !slices.Contains(modes, "transparent") {
		modes = append(modes, "transparent")
	}
	if len(modes) == 0 {
		modes = []string{"transparent"}
	}
	var cs []capture.Capture
	for i, m := range modes {
		c, err := parseMode(m, f.host, uint16(f.port.value))
		if err != nil {
			return nil, err
		}
		for j, other := range cs {
			if overlap(c.Listen, other.(capture.Redirect).Listen) {
				return nil, fmt.Errorf("modes %q and %q are on one port", modes[j], modes[i])
			}
		}
		cs = append(cs, c)
	}
	return cs, nil
}

func (f *listenFlags) settings(s *transom.Settings) error {
	hosts := &policy.Hosts{}
	for _, l := range []struct {
		flag  string
		texts []string
		to    *[]*policy.Pattern
	}{{"ignore-hosts", f.ignore, &hosts.Ignore}, {"allow-hosts", f.allow, &hosts.Allow}, {"tcp-hosts", f.tcp, &hosts.TCP}} {
		for _, text := range l.texts {
			p, err := policy.CompilePattern(text)
			if err != nil {
				return usagef("--%s: %w", l.flag, err)
			}
			*l.to = append(*l.to, p)
		}
	}
	s.Policy = hosts
	s.Insecure = f.insecure
	switch f.onTLSFailure {
	case "mirror":
		s.OnTLSFailure = transom.Mirror
	case "502":
		s.OnTLSFailure = transom.BadGateway
	case "pass":
		s.OnTLSFailure = transom.PassThrough
	default:
		return usagef("--on-upstream-tls-failure %q: want mirror, 502 or pass", f.onTLSFailure)
	}
	switch f.mimic {
	case "go":
	case "client":
		return usagef("--tls-mimic client: sending the client's own ClientHello is not built yet; go follows its versions, ALPN list and groups")
	default:
		return usagef("--tls-mimic %q: want go", f.mimic)
	}
	if f.upstreamCA != "" {
		roots, err := ca.Roots(f.upstreamCA)
		if err != nil {
			return usagef("--upstream-ca: %w", err)
		}
		s.UpstreamRoots = roots
	}
	return nil
}

// authority opens what the proxy signs with and the key log. The returned
// function closes the latter.
func (f *listenFlags) authority(p *transom.Proxy) (signer ca.Info, done func() error, err error) {
	authority, err := openAuthority(f.caDir)
	if err != nil {
		return signer, nil, err
	}
	signer = authority.Info()
	p.Issuer = authority
	p.Direct = landing.Handler(authority)
	if f.keylog == "" {
		return signer, func() error { return nil }, nil
	}
	file, err := os.OpenFile(f.keylog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return signer, nil, usagef("--keylog: %w", err)
	}
	p.KeyLog = file
	return signer, file.Close, nil
}

// store is how much is kept. For the options 0 is the default, for a person it
// is nothing.
func (f *listenFlags) store() store.MemoryOptions {
	o := store.MemoryOptions{MaxBytes: int64(f.storeMax), BodyLimit: int64(f.bodyLimit)}
	if o.BodyLimit == 0 {
		o.BodyLimit = -1
	}
	return o
}

// output opens what flows are written to. Like mitmproxy's, a name that begins
// with + is of a file that is kept and added to.
func (f *listenFlags) output(stdout io.Writer) (out io.Writer, done func() error, err error) {
	if f.out == "" {
		return stdout, func() error { return nil }, nil
	}
	name, appending := strings.CutPrefix(f.out, "+")
	mode := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if !appending {
		mode |= os.O_TRUNC
	}
	file, err := os.OpenFile(name, mode, 0o600)
	if err != nil {
		return nil, nil, usagef("-o: %w", err)
	}
	return file, file.Close, nil
}

func logger(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
