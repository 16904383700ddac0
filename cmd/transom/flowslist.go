package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"transom/app/show"
	"transom/flow"
	"transom/store"
)

// A flowsList prints the flows of a recording.
type flowsList struct {
	recordingFlags
	sort   string
	limit  numberFlag
	after  string
	detail numberFlag
	json   bool
	redact redactFlag
	proto  protoFlag
}

func flowsListCommand() *cobra.Command {
	var f flowsList
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Print recorded flows",
		Long: `list prints recorded flows, one line each: the end of its ID, which flows show
takes, when it began, and what gateway prints of it.`,
		Example: `  transom flows list --store /var/lib/transom -f '~d example\.com' --sort=-time --limit 50
  transom flows list -r saved.mitm --json`,
		Args: noArguments,
	}
	fl := cmd.Flags()
	f.add(fl)
	f.limit = numberFlag{max: 1 << 30, name: "NUMBER"}
	f.detail = numberFlag{value: 1, min: 1, max: 4, name: "LEVEL"}
	fl.StringVar(&f.sort, "sort", "time", "in which `ORDER`: time, size, duration or host; with a dash before it, as in --sort=-time, from the other end")
	fl.Var(&f.limit, "limit", "print no more than so many; 0 is all")
	fl.StringVar(&f.after, "after", "", "begin behind the flow with this `ID`, or the end of one, as a line begins with")
	fl.Var(&f.detail, "flow-detail", "how much to show of a flow: 1 a line, 2 heads, 3 bodies cut short, 4 bodies in full")
	f.proto.add(fl)
	fl.BoolVar(&f.json, "json", false, "print JSON, one object a line")
	f.redact.add(fl, "what is printed")
	cmd.RunE = running(f.run)
	return cmd
}

func (f *flowsList) run(cmd *cobra.Command, _ []string) error {
	var asked store.Query
	if err := errors.Join(f.query(&asked), f.redact.read(), f.proto.check(f.detail.value, f.json)); err != nil {
		return &usageError{err}
	}
	schema, err := f.proto.read()
	if err != nil {
		return err
	}
	return f.with(cmd, func(from recording, q store.Query) error {
		asked.Filter, asked.Doubt = q.Filter, q.Doubt
		if err := f.behind(cmd, from, &asked.After); err != nil {
			return err
		}
		var last flow.ID
		var unread failures
		first := &firstOf{recording: from}
		err := printFlows(cmd, cmd.OutOrStdout(), first, asked, show.Options{Detail: f.detail.value, JSON: f.json, Redact: f.redact.rules, Schema: schema}, func(f *flow.Flow) { last = f.ID }, &unread)
		if err == nil && first.more {
			fmt.Fprintf(cmd.ErrOrStderr(), "transom: there are more: --after %s\n", last)
		}
		if err == nil && !f.json && last.IsZero() && unread.n == 0 && f.after == "" {
			f.noneTo(cmd, "list")
		}
		return errors.Join(err, unread.err())
	})
}

// behind finds the flow that --after names.
func (f *flowsList) behind(cmd *cobra.Command, from recording, id *flow.ID) error {
	if f.after == "" || !id.IsZero() {
		return nil
	}
	ends, err := endings([]string{f.after})
	if err != nil {
		return err
	}
	for x, err := range from.Flows(cmd.Context(), store.Query{Match: ends.match}) {
		switch {
		case err != nil: // said by who lists
		case id.IsZero():
			*id = x.ID
		default:
			return usagef("--after %s: %s and %s end so: give more of it", f.after, *id, x.ID)
		}
	}
	return ends.missing()
}

// query is what the flags ask for, but for the filter.
func (f *flowsList) query(q *store.Query) error {
	q.Limit = f.limit.value
	by, found := strings.CutPrefix(f.sort, "-")
	q.Descending = found
	switch by {
	case "time":
	case "size":
		q.By = store.BySize
	case "duration":
		q.By = store.ByDuration
	case "host":
		q.By = store.ByHost
	default:
		return fmt.Errorf("--sort %q: want time, size, duration or host, or one of them with a dash before it", f.sort)
	}
	q.Match = func(x *flow.Flow) bool { return show.Level(x) <= f.detail.value }
	if f.after == "" {
		return nil
	}
	var err error
	if q.After, err = flow.ParseID(f.after); err == nil {
		return nil
	}
	if _, err := endings([]string{f.after}); err != nil {
		return fmt.Errorf("--after %w", err)
	}
	return nil
}

// sayDoubt says that a filter could not judge a flow, once.
func sayDoubt(cmd *cobra.Command) func(*flow.Flow, error) {
	said := false
	return func(f *flow.Flow, err error) {
		if !said {
			fmt.Fprintf(cmd.ErrOrStderr(), "transom: flow %s is taken though the filter could not be applied to it, and others may be: %v\n", f.ID, err)
		}
		said = true
	}
}

// printFlows prints what q selects on out, and tells each of which flow it is. Its error is of out.
func printFlows(cmd *cobra.Command, out io.Writer, from recording, q store.Query, o show.Options, each func(*flow.Flow), unread *failures) error {
	bodies := &bodiesRead{from: from, unread: unread}
	q.Lacks = unread.lacks
	news := func(yield func(*flow.Flow, int) bool) {
		for f, err := range from.Flows(cmd.Context(), q) {
			if err != nil {
				unread.add(err)
				continue
			}
			each(f)
			if bodies.forFlow(f); !yield(f, 0) {
				return
			}
		}
	}
	o.Color, o.Recorded, o.Store = show.ColorFor(out), true, bodies
	return show.Run(cmd.Context(), out, iter.Seq2[*flow.Flow, int](news), o)
}

// A firstOf yields as many flows as are asked for, and sees whether there are more: to ask
// again for what comes behind the last may take as long as all of it.
type firstOf struct {
	recording
	more bool
}

// Flows implements recording.
func (r *firstOf) Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error] {
	if q.Limit == 0 {
		return r.recording.Flows(ctx, q)
	}
	return func(yield func(*flow.Flow, error) bool) {
		left := q.Limit
		q.Limit++
		for f, err := range r.recording.Flows(ctx, q) {
			if left == 0 {
				r.more = err == nil
				return
			}
			if err == nil {
				left--
			}
			if !yield(f, err) {
				return
			}
		}
	}
}
