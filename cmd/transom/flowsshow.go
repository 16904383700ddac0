package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transom/app/show"
	"transom/app/view"
	"transom/flow"
	"transom/store"
)

func flowsShowCommand() *cobra.Command {
	var f recordingFlags
	detail := numberFlag{value: 4, min: 1, max: 4, name: "LEVEL"}
	var json bool
	var as string
	var redact redactFlag
	var proto protoFlag
	cmd := &cobra.Command{
		Use:   "show ID...",
		Short: "Print all that was recorded of a flow",
		Long: `show prints heads, bodies and messages of the flows with these IDs. The end of an
ID is enough, as list prints it, of at least four digits.`,
		Example: `  transom flows show --store /var/lib/transom 5d1c03aa`,
	}
	fl := cmd.Flags()
	f.add(fl)
	fl.Var(&detail, "flow-detail", "how much to show: 1 a line, 2 heads, 3 bodies cut short, 4 bodies in full")
	fl.StringVar(&as, "view", "auto", "show bodies as `NAME`, in place of what fits: "+strings.Join(view.Names(), ", "))
	proto.add(fl)
	fl.BoolVar(&json, "json", false, "print JSON, one object a line")
	redact.add(fl, "what is printed")
	cmd.RunE = running(func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && !fl.Changed("filter") {
			return usagef("which flow? name it by its ID, as transom flows list prints it, or by --filter")
		}
		if as != "auto" && !slices.Contains(view.Names(), as) {
			return usagef("--view %s: there are auto, %s", as, strings.Join(view.Names(), ", "))
		}
		if err := proto.check(detail.value, json); err != nil {
			return &usageError{err}
		}
		ends, err := endings(args)
		if err = errors.Join(err, redact.read()); err != nil {
			return &usageError{err}
		}
		schema, err := proto.read()
		if err != nil {
			return err
		}
		return f.with(cmd, func(from recording, q store.Query) error {
			q.Match = ends.match
			var unread failures
			n := 0
			err := printFlows(cmd, cmd.OutOrStdout(), from, q, show.Options{Detail: detail.value, JSON: json, View: as, Redact: redact.rules, Schema: schema}, func(*flow.Flow) { n++ }, &unread)
			if err == nil && !json && len(args) == 0 && n+unread.n == 0 {
				f.noneTo(cmd, "show")
			}
			return errors.Join(err, unread.err(), ends.missing())
		})
	})
	return cmd
}

// idEnds are ends of IDs that flows are looked for by.
type idEnds struct {
	texts []string
	found []bool
}

// minEnd is the least that names a flow.
const minEnd = 4

// endings reads what IDs end in. None is all of them.
func endings(texts []string) (*idEnds, error) {
	for _, text := range texts {
		if len(text) < minEnd || len(text) > 36 || strings.Trim(text, "0123456789abcdef-") != "" {
			return nil, fmt.Errorf("%q: want the ID of a flow, or its last digits, at least %d of 0-9 and a-f", text, minEnd)
		}
	}
	return &idEnds{texts, make([]bool, len(texts))}, nil
}

func (e *idEnds) match(f *flow.Flow) bool {
	if len(e.texts) == 0 {
		return true
	}
	id, ok := f.ID.String(), false
	for i, text := range e.texts {
		if strings.HasSuffix(id, text) {
			e.found[i], ok = true, true
		}
	}
	return ok
}

// missing says for which there is no flow.
func (e *idEnds) missing() error {
	if i := slices.Index(e.found, false); i >= 0 {
		return fmt.Errorf("there is no flow %s: transom flows list has those that there are", e.texts[i])
	}
	return nil
}
