package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"transom/platform/trust"
)

func caCheckCommand() *cobra.Command {
	var t trusting
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say which programs on this machine trust the authority",
		Long: `check says of each store of roots on this machine whether the authority is in it,
and of each program whether it trusts the authority, by what, and what makes it
if it doesn't. It changes nothing, and starts none of the programs. Variables
are those of its own environment: start it where the programs are started.

With --store it is about stores alone, and fails if one doesn't trust.`,
		Args: noArguments,
	}
	t.flags(cmd)
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		if err := t.open(cmd); err != nil {
			return err
		}
		stores, err := t.stores()
		if err != nil {
			return err
		}
		var found []change
		for _, s := range stores {
			c := change{store: s}
			c.state, c.err = s.Check(cmd.Context())
			found = append(found, c)
		}
		var programs []trust.Program
		if len(t.kinds) == 0 {
			programs = t.machine.Programs(cmd.Context(), t.cert, t.file)
		}
		print := printTrust
		if t.json {
			print = writeTrust
		}
		if err := print(cmd.OutOrStdout(), found, programs); err != nil {
			return err
		}
		return t.verdict(found)
	})
	return cmd
}

// verdict fails if a store that was asked about doesn't trust.
func (t *trusting) verdict(found []change) error {
	distrusting := 0
	for _, c := range found {
		if !c.state.Trusted {
			distrusting++
		}
	}
	if len(t.kinds) == 0 || distrusting == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d stores don't trust the authority", distrusting, len(found))
}

// printTrust prints a table for a person.
func printTrust(w io.Writer, found []change, programs []trust.Program) error {
	tab := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tab, "STORE\tTRUSTS\tPLACE")
	for _, c := range found {
		verdict := yesNo(c.state.Trusted)
		switch {
		case c.err != nil:
			verdict = "?"
		case c.state.Ours:
			verdict = "yes, by transom ca trust"
		}
		fmt.Fprintf(tab, "%s\t%s\t%s\n", c.store.Kind(), verdict, c.store.Place())
		if c.err != nil {
			fmt.Fprintf(tab, "\t\t%v\n", c.err)
		}
	}
	if len(programs) == 0 {
		return tab.Flush()
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(tab, "\nPROGRAM\tTRUSTS\tBY")
	for _, p := range programs {
		fmt.Fprintf(tab, "%s\t%s\t%s\n", p.Name, yesNo(p.Trusts), p.By)
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	return printMends(w, programs)
}

// printMends prints what makes programs trust, once, with those that it is for.
func printMends(w io.Writer, programs []trust.Program) error {
	var mends []string
	whose := map[string][]string{}
	for _, p := range programs {
		if p.Mend == "" {
			continue
		}
		if whose[p.Mend] == nil {
			mends = append(mends, p.Mend)
		}
		whose[p.Mend] = append(whose[p.Mend], p.Name)
	}
	for i, mend := range mends {
		head := ""
		if i == 0 {
			head = "\nWHAT MAKES THEM\n"
		}
		if _, err := fmt.Fprintf(w, "%s%s\n    %s\n", head, mend, strings.Join(whose[mend], ", ")); err != nil {
			return err
		}
	}
	return nil
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// writeTrust prints the same as objects.
func writeTrust(w io.Writer, found []change, programs []trust.Program) error {
	enc := json.NewEncoder(w)
	for _, c := range found {
		o := struct {
			Type    string `json:"type"`
			Store   string `json:"store"`
			Place   string `json:"place"`
			Trusted bool   `json:"trusted"`
			Ours    bool   `json:"ours"`
			Error   string `json:"error,omitempty"`
		}{"store", c.store.Kind(), c.store.Place(), c.state.Trusted, c.state.Ours, ""}
		if c.err != nil {
			o.Error = c.err.Error()
		}
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
	for _, p := range programs {
		if err := enc.Encode(struct {
			Type   string `json:"type"`
			Name   string `json:"name"`
			Path   string `json:"path"`
			Trusts bool   `json:"trusts"`
			By     string `json:"by"`
			Mend   string `json:"mend,omitempty"`
		}{"program", p.Name, p.Path, p.Trusts, p.By, p.Mend}); err != nil {
			return err
		}
	}
	return nil
}
