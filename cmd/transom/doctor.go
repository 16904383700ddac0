package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom/egress"
	"transom/platform"
	"transom/platform/doctor"
	"transom/platform/sandbox"
	"transom/platform/steer"
)

// doctorFlags are those of gateway that matter for what is found, and its own.
type doctorFlags struct {
	captureFlags
	spoof   spoofFlag
	caDir   string
	watch   durationFlag
	json    bool
	verbose bool
}

func doctorCommand() *cobra.Command {
	f := &doctorFlags{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what keeps capturing from working here, and the command that mends it",
		Long: `doctor looks at what gateway depends on, and says what is wrong, the worst first,
each with one command that mends it: the kernel and the rights it takes, settings,
firewalls and other proxies in the way, the port, the authority and who trusts it,
and whether traffic arrives. It changes nothing. Beside a transom gateway that runs
it judges what that has in force. Give it the options that gateway is given.

It takes no root, and says what it could not see without. The exit code is 1 if
there is a fault, else 0.`,
		Example: `  sudo transom doctor
  sudo transom doctor --interface wlan0 --watch 30s
  transom doctor --json`,
		Args: noArguments,
	}
	f.add(cmd.Flags())
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error { return f.run(cmd) })
	return cmd
}

// add defines the flags.
func (f *doctorFlags) add(fl *pflag.FlagSet) {
	f.captureFlags.add(fl)
	f.spoof.add(fl)
	addCADir(fl, &f.caDir)
	fl.Var(&f.watch, "watch", "for how long to listen to what passes (default: 3s as root, else 0)")
	fl.Lookup("watch").DefValue = ""
	fl.BoolVar(&f.json, "json", false, "an object a line")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "list what is as it should be, too")
}

func (f *doctorFlags) run(cmd *cobra.Command) error {
	q, err := f.question(cmd)
	if err != nil {
		return err
	}
	m, err := doctor.Look(cmd.Context(), q)
	if err != nil {
		return err
	}
	if err := f.lookAtAuthority(cmd.Context(), m); err != nil {
		return err
	}
	lookAtClients(cmd.Context(), m)
	found := doctor.Examine(m)
	if err := f.write(cmd.OutOrStdout(), found); err != nil {
		return err
	}
	if doctor.Sick(found) {
		return exitCode(exitFailed)
	}
	return nil
}

// question is what the flags ask: about the transom that runs as it was started,
// where nothing is said of what is captured.
func (f *doctorFlags) question(cmd *cobra.Command) (q doctor.Question, err error) {
	_, q.Sudo, _ = sandbox.Caller(os.Getenv) // an error of it ends lookAtAuthority
	q.Command = shellLine(append([]string{"transom"}, os.Args[1:]...))
	c, s := &f.captureFlags, &f.spoof
	q.Running = doctor.Steers()
	if pids, err := platform.Controls(); q.Running == nil && os.Geteuid() != 0 && err == nil {
		q.Running = doctor.Seen(pids)
	}
	if q.Running != nil && !f.given(cmd.Flags()) {
		if g := gatewayOf(q.Running.Args); g != nil {
			c, s = &g.captureFlags, &g.spoof
			if f.caDir == "" && g.caDir != "" && !filepath.IsAbs(g.caDir) {
				g.caDir = filepath.Join(q.Running.Dir, g.caDir)
			}
			f.caDir = cmp.Or(f.caDir, g.caDir)
			q.Backend = g.backend
		}
	}
	if q.Steering, err = c.steering(); err != nil {
		return q, &usageError{err}
	}
	sp, err := s.parse(gatewaySpoof())
	if err != nil {
		return q, err
	}
	q.Steering.Spoof = sp.Mode() != egress.SpoofNone
	if c.method != "auto" {
		q.Methods = []platform.Method{q.Steering.Method}
	}
	q.Watch = time.Duration(f.watch)
	switch {
	case steer.ByPF() && q.Watch != 0:
		return q, usagef("--watch: what passes is listened to on Linux alone")
	case !cmd.Flags().Changed("watch") && os.Geteuid() == 0 && !steer.ByPF():
		q.Watch = watchFor
	}
	q.CADir, q.NoInterface = f.caDir, c.noInterface()
	q.Gateway = "transom gateway"
	if len(c.interfaces) > 0 {
		q.Gateway += " --interface " + shellLine(c.interfaces)
	}
	return q, nil
}

// watchFor is how long traffic is listened to if nobody says.
const watchFor = 3 * time.Second

// given reports whether an option says what is captured.
func (f *doctorFlags) given(fl *pflag.FlagSet) (some bool) {
	fl.Visit(func(o *pflag.Flag) {
		some = some || !slices.Contains([]string{"json", "verbose", "watch", "ca-dir"}, o.Name)
	})
	return some
}

// gatewayOf reads the command line of a gateway that runs; nil if it is none.
func gatewayOf(args []string) *gatewayFlags {
	i := slices.Index(args, "gateway")
	if i < 0 {
		return nil
	}
	g := &gatewayFlags{}
	fl := pflag.NewFlagSet("gateway", pflag.ContinueOnError)
	fl.SetOutput(io.Discard)
	g.add(fl)
	if fl.Parse(args[i+1:]) != nil {
		return nil
	}
	return g
}

// shellLine writes arguments as a shell takes them.
func shellLine(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = doctor.ShellWord(a)
	}
	return strings.Join(words, " ")
}

// lookAtAuthority adds what there is to know of the authority, as whoever has it.
func (f *doctorFlags) lookAtAuthority(ctx context.Context, m *doctor.Machine) error {
	r, err := rightsFor("", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	dir, err := authorityDir(f.caDir, r)
	if err != nil {
		return err
	}
	machine, err := r.machine()
	if err != nil {
		return err
	}
	return r.asUser(func() error {
		m.Authority = doctor.LookAtAuthority(ctx, dir, machine)
		return nil
	})
}

// write writes findings as was asked for.
func (f *doctorFlags) write(w io.Writer, found []doctor.Finding) error {
	if f.json {
		return writeFindings(w, found)
	}
	return f.print(w, found)
}

// print writes findings for a person.
func (f *doctorFlags) print(w io.Writer, found []doctor.Finding) error {
	var b strings.Builder
	fine := 0
	for _, one := range found {
		if one.Level == doctor.OK {
			fine++
			if !f.verbose {
				continue
			}
		}
		fmt.Fprintf(&b, "%-8s %s: %s\n", one.Level, one.ID, one.What)
		if one.Why != "" {
			fmt.Fprintf(&b, "         %s\n", one.Why)
		}
		if one.Mend != "" {
			fmt.Fprintf(&b, "         mend it: %s\n", one.Mend)
		}
	}
	switch {
	case f.verbose || fine == 0:
	case fine == 1:
		fmt.Fprintf(&b, "%-8s 1 more thing is as it should be (-v lists it)\n", doctor.OK)
	default:
		fmt.Fprintf(&b, "%-8s %d more things are as they should be (-v lists them)\n", doctor.OK, fine)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeFindings prints the same as objects.
func writeFindings(w io.Writer, found []doctor.Finding) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, one := range found {
		if err := enc.Encode(struct {
			Type  string       `json:"type"`
			ID    string       `json:"id"`
			Level doctor.Level `json:"level"`
			What  string       `json:"what"`
			Why   string       `json:"why,omitempty"`
			Mend  string       `json:"mend,omitempty"`
		}{"finding", one.ID, one.Level, one.What, one.Why, one.Mend}); err != nil {
			return err
		}
	}
	return nil
}
