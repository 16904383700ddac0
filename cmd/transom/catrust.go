package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"transom/platform/trust"
)

func caTrustCommand() *cobra.Command {
	return changingCommand(&cobra.Command{
		Use:   "trust",
		Short: "Have this machine's programs trust the authority",
		Long: `trust puts the authority's certificate into this machine's stores of roots: the
system's, Java's, and the databases of the person's browsers. It says what it
does before it does it, and does nothing where the certificate is trusted.

Whoever gets hold of the authority's key can then pose as any server to this
machine. What trust has put there, untrust removes.

The system's store and Java's take root; browsers' databases are changed as the
person who called sudo.`,
		Example: `  sudo transom ca trust
  transom ca trust --store nss`,
	}, true)
}

func caUntrustCommand() *cobra.Command {
	return changingCommand(&cobra.Command{
		Use:   "untrust",
		Short: "Remove the authority from this machine's stores",
		Long: `untrust removes what trust has put into this machine's stores of roots, and
nothing else: a certificate that somebody else has put there stays.`,
		Example: `  sudo transom ca untrust`,
	}, false)
}

// changingCommand makes a command that has stores trust us, or not any more.
func changingCommand(cmd *cobra.Command, wanted bool) *cobra.Command {
	var t trusting
	var list bool
	cmd.Args = noArguments
	t.flags(cmd)
	cmd.Flags().BoolVarP(&list, "list", "n", false, "only list what would be changed")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		if err := t.open(cmd); err != nil {
			return err
		}
		ask := trust.Store.Untrust
		if wanted {
			ask = trust.Store.Trust
		}
		changes, err := t.plan(cmd.Context(), ask)
		if err != nil {
			return err
		}
		return t.change(cmd, changes, wanted, list)
	})
	return cmd
}

// change says what will happen, has it happen, and says what came of it.
func (t *trusting) change(cmd *cobra.Command, changes []change, wanted, list bool) error {
	out := cmd.OutOrStdout()
	if !t.json {
		if err := tellPlan(out, changes, wanted, t.who()); err != nil {
			return err
		}
	}
	if list {
		if kinds := rootsKinds(changes); len(kinds) > 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "transom: not all of this can be done without root: "+t.sudo(cmd, kinds))
		}
	} else {
		t.do(cmd.Context(), changes, wanted)
	}
	if t.json {
		if err := writeChanges(out, changes, !list); err != nil {
			return err
		}
	}
	return t.outcome(cmd, changes)
}

// who is said of what another than we will do, "" if it is all our own.
func (t *trusting) who() string {
	if !t.rights.caller {
		return ""
	}
	return " (as " + t.rights.user.String() + ")"
}

// tellPlan prints what each store will undergo.
func tellPlan(w io.Writer, changes []change, wanted bool, who string) error {
	for _, c := range changes {
		if _, err := fmt.Fprintf(w, "%s: %s\n", c.store.Kind(), c.store.Place()); err != nil {
			return err
		}
		lines := []string{}
		switch {
		case c.err != nil:
			lines = append(lines, "can't: "+c.err.Error())
		case len(c.steps) == 0 && wanted:
			lines = append(lines, "nothing to do")
		case len(c.steps) == 0:
			lines = append(lines, "nothing of ours in it")
		}
		for _, s := range c.steps {
			line := s.String()
			switch {
			case s.Own():
				line += who
			case os.Geteuid() != 0:
				line += " (takes root)"
			}
			lines = append(lines, line)
		}
		for _, l := range lines {
			if _, err := fmt.Fprintln(w, "  "+l); err != nil {
				return err
			}
		}
	}
	return nil
}

// rootsKinds are the kinds of stores whose change takes root, which we are not.
func rootsKinds(changes []change) (kinds []string) {
	for _, c := range changes {
		if os.Geteuid() != 0 && c.takesRoot() && !slices.Contains(kinds, c.store.Kind()) {
			kinds = append(kinds, c.store.Kind())
		}
	}
	return kinds
}

// A changeObject is what --json prints of a store.
type changeObject struct {
	Type    string   `json:"type"`
	Store   string   `json:"store"`
	Place   string   `json:"place"`
	Steps   []string `json:"steps"`
	Root    bool     `json:"takes_root"`
	Done    bool     `json:"done"`
	Trusted *bool    `json:"trusted,omitempty"`
	Ours    *bool    `json:"ours,omitempty"`
	Error   string   `json:"error,omitempty"`
}

func writeChanges(w io.Writer, changes []change, tried bool) error {
	enc := json.NewEncoder(w)
	for _, c := range changes {
		o := changeObject{Type: "change", Store: c.store.Kind(), Place: c.store.Place(), Steps: []string{}, Root: c.takesRoot(), Done: tried && c.err == nil}
		for _, s := range c.steps {
			o.Steps = append(o.Steps, s.String())
		}
		if c.err != nil {
			o.Error = c.err.Error()
		} else if tried {
			o.Trusted, o.Ours = &c.state.Trusted, &c.state.Ours
		}
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
	return nil
}

// outcome says what could not be done, and what to do about it. What follows another
// store is not spoken of beside that.
func (t *trusting) outcome(cmd *cobra.Command, changes []change) error {
	var errs, following []error
	var kinds []string
	for _, c := range changes {
		err := fmt.Errorf("%s: %s: %w", c.store.Kind(), c.store.Place(), c.err)
		switch {
		case errors.Is(c.err, errNeedsRoot):
			if !slices.Contains(kinds, c.store.Kind()) {
				kinds = append(kinds, c.store.Kind())
			}
		case errors.Is(c.err, errFollows):
			following = append(following, err)
		case c.err != nil:
			errs = append(errs, err)
		}
	}
	if len(kinds) > 0 {
		errs = append(errs, fmt.Errorf("not changed, since it takes root: %s", t.sudo(cmd, kinds)))
	}
	if len(errs) == 0 {
		errs = following
	}
	return errors.Join(errs...)
}

// sudo is the command that does the rest as root.
func (t *trusting) sudo(cmd *cobra.Command, kinds []string) string {
	program, err := os.Executable()
	if err != nil {
		program = "transom"
	}
	text := "sudo " + program + " " + commandName(cmd)
	for _, k := range kinds {
		text += " --store " + k
	}
	switch {
	case t.dir != "":
		text += " --ca-dir " + t.dir
	case os.Getenv("XDG_CONFIG_HOME") != "": // which sudo does not pass on
		text += " --ca-dir " + filepath.Dir(t.file)
	}
	return text
}
