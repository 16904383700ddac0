package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"transom"
	"transom/ca"
	"transom/capture"
	"transom/platform"
	"transom/platform/rootless"
)

// runFlags are those of run, and what it has made.
type runFlags struct {
	proxyFlags
	quic string

	program shell
	made    bool         // the authority was made for it
	say     *slog.Logger // says what a person should know
	space   *rootless.Namespace

	trusting  sync.WaitGroup // until program is complete
	untrusted error          // why it is not

	began chan struct{} // closed when the program runs
	end   rootless.End  // how it ended, once attend is over
	err   error         // why it could not be waited for
}

func runCommand() *cobra.Command {
	f := &runFlags{began: make(chan struct{})}
	cmd := &cobra.Command{
		Use:   "run [flags] [--] [COMMAND ARGUMENT...]",
		Short: "Capture one program and what it starts, with or without root",
		Long: `run runs a program in namespaces of its own, as whoever calls it and without a
right, and captures what it and its children send: TCP and UDP to any port. It trusts
transom's authority there and nowhere else. The terminal, its signals, standard
input and output, and the exit code are the program's; flows go to stderr, or
where -o says. Without COMMAND it is a shell. What the program leaves behind is
ended with it.

Where such namespaces are forbidden, sudo transom run does it another way: the
program runs as whoever called sudo, in this machine's network, and is known by
its cgroup.`,
		Example: `  transom run curl https://example.com/
  transom run --json -o flows.ndjson -- npm install
  sudo transom run git fetch
  transom run`,
		Args: cobra.ArbitraryArgs,
	}
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the program is the program's
	f.add(fl)
	fl.Lookup("output").Usage = strings.Replace(fl.Lookup("output").Usage, "default: stdout", "default: stderr", 1)
	for _, name := range [...]string{"user", "spoof-source", "spoof-source-address"} { // the program's user is the caller, and it has no address outside
		_ = fl.MarkHidden(name)
	}
	fl.StringVar(&f.quic, "quic", "reject", "what to do with QUIC: `reject|pass`; rejected programs use TCP")
	cmd.RunE = running(func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) })
	return cmd
}

// run runs the program and returns its exit code.
func (f *runFlags) run(cmd *cobra.Command, args []string) error {
	if slices.Contains(os.Environ(), inside) {
		return errors.New("this is inside transom run already, says TRANSOM in the environment: what programs send is captured; start them as they are")
	}
	program, err := programOf(args, os.Getenv, term.IsTerminal(int(os.Stdin.Fd())))
	if err != nil {
		return err
	}
	f.program = program
	if f.quic != "reject" && f.quic != "pass" {
		return usagef("--quic %q: want reject or pass", f.quic)
	}
	switch {
	case f.spoof.assumes():
		return usagef("--spoof-source: outside of its namespaces the program has no address that a server could see")
	case f.user != "":
		return usagef("--user: the program is its caller's, and so is transom")
	}
	f.say = f.logger(cmd.ErrOrStderr(), &job{})
	err = f.proxyFlags.run(cmd, &job{
		open: f.open, ready: f.trusted, begin: f.begin, attend: f.attend, out: cmd.ErrOrStderr(), calm: true,
	})
	f.trusting.Wait()
	select {
	case <-f.began:
	default:
		return err
	}
	switch {
	case f.err != nil:
		return errors.Join(f.err, err)
	case err != nil:
		sayError(cmd.ErrOrStderr(), "transom: run", err)
	}
	return exitCode(f.end.ExitCode())
}

// lastSilence is how long datagrams may be silent when the program has ended: who would
// hear answers is gone, and what it has sent has only to be passed on.
const lastSilence = 10 * time.Millisecond

// open makes the namespaces, while this process still has what it was started with.
func (f *runFlags) open(ctx context.Context, p *transom.Proxy, r *rights) (platform.Host, error) {
	p.Timeouts.UDPDrain = lastSilence
	if r.caller {
		f.program.Env = environAs(f.program.Env, r.user)
	}
	f.trusting.Go(func() { f.untrusted = f.trustInside(p.Log, r) }) // while there are namespaces made
	if r.caller {
		return f.openByRoot(ctx, p, r)
	}
	network, err := rootless.Outside()
	if err != nil {
		return nil, err
	}
	network.RejectQUIC = f.quic == "reject"
	beside, err := findOwnersInside(p)
	if err != nil {
		return nil, err
	}
	f.space, err = rootless.New(ctx, rootless.Options{Network: network, Log: p.Log, Beside: beside})
	beside.Close()
	if err != nil {
		why := fmt.Errorf("make namespaces for the program: %w", platform.ExplainNamespaces(err, "have root capture the program, which stays yours, with: sudo transom run"))
		if os.Geteuid() != 0 || !forbidden(err) {
			return nil, why
		}
		host, err := f.openByRoot(ctx, p, r)
		if err != nil {
			return nil, errors.Join(why, fmt.Errorf("and by a cgroup in place of namespaces: %w", err))
		}
		return host, nil
	}
	p.Captures = []capture.Capture{
		capture.Redirect{}, // wherever it wants to listen, there is one listener inside
		capture.Datagrams{Listener: f.space.UDP(), Answerer: f.space},
	}
	base, err := platform.Here(p.Log)
	if err != nil {
		return nil, errors.Join(err, f.space.Close())
	}
	return &spaceHost{f.space.Host(base), f.space}, nil
}

// A spaceHost is a host that ends the namespaces with it.
type spaceHost struct {
	platform.Host
	space *rootless.Namespace
}

// Close implements platform.Host.
func (h *spaceHost) Close() error { return errors.Join(h.space.Close(), h.Host.Close()) }

// trusted waits until it is known what makes the program trust the authority. The
// keeper has standard input and output for it; here they are let go.
func (f *runFlags) trusted() error {
	f.trusting.Wait()
	if f.untrusted != nil || f.out == "&1" || f.out == "-" {
		return f.untrusted
	}
	return rootless.LetGo()
}

// begin starts the program, and says before that what a person should know; then it
// is the program that speaks.
func (f *runFlags) begin(p *transom.Proxy) error {
	if a, ok := p.Issuer.(*ca.Authority); ok && (f.made || a.Info().Made) {
		f.say.Info("an authority was made: what transom run starts trusts it, and nothing else does", "path", a.Info().Path)
	}
	if f.program.person && f.out == "" && !f.quiet {
		f.say.Info("flows are shown here, among what the shell shows: -o FILE has them elsewhere")
	}
	if err := f.space.Start(f.program.Program); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	close(f.began)
	return nil
}

// attend waits for the program, whose end is that of all. If all ends before, so
// does the program. What is under way when it has ended may finish, until a signal.
func (f *runFlags) attend(drain func(), p *transom.Proxy) (stop func()) {
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-f.began:
		case <-over:
			return
		}
		f.end, f.err = f.space.Wait()
		drain()
		select {
		case <-f.space.Signals():
			p.End()
		case <-over:
		}
	})
	return func() {
		close(over)
		_ = f.space.Close() // which says itself what went wrong, when the host is closed
		wg.Wait()
	}
}
