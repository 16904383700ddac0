package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transom/app/command"
	"transom/app/export"
	"transom/app/files"
	"transom/app/har"
	"transom/app/mitm"
	"transom/app/pcapng"
	"transom/app/redact"
	"transom/app/show"
	"transom/filter"
	"transom/flow"
	"transom/store"
)

// A flowsExport writes flows of a recording for other programs.
type flowsExport struct {
	recordingFlags
	format     string
	out        string
	flowFormat numberFlag
	redact     redactFlag
}

func flowsExportCommand() *cobra.Command {
	var f flowsExport
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write recorded flows for other programs",
		Long: `export writes flows into a file in a format that other programs read: mitm, which
is mitmproxy's, har, which browsers read, pcapng, for Wireshark, json, one object a
line, and requests to be sent again, as ` + strings.Join(command.Formats(), ", ") + `.

The name of the file says which: .mitm, .har, .pcapng, .json or .ndjson, .sh, .py, .js
or .go, and .gz or .zst behind that is compressed. A file of that name is replaced when all is written.`,
		Example: `  transom flows export --store /var/lib/transom -f '~d example\.com' -o example.har
  transom flows export -r saved.mitm --format curl
  transom flows export -o today.mitm.zst`,
		Args: noArguments,
	}
	fl := cmd.Flags()
	f.add(fl)
	f.flowFormat = numberFlag{value: mitm.Newest, min: mitm.Oldest, max: mitm.Newest, name: "VERSION"}
	fl.StringVar(&f.format, "format", "", "in which `FORMAT` (default: as the name of the file says)")
	fl.StringVarP(&f.out, "output", "o", "-", "the `FILE` to write; - is stdout")
	fl.Var(&f.flowFormat, "flow-format", "version of mitmproxy's format: 21 is of mitmproxy 11, 17 of mitmproxy 8")
	f.redact.add(fl, "the file")
	cmd.RunE = running(f.run)
	return cmd
}

// exportFormats are those that there are.
func exportFormats() []string {
	return append([]string{"mitm", "har", "pcapng", "json"}, command.Formats()...)
}

// choose finds out which format is meant.
func (f *flowsExport) choose() error {
	known := exportFormats()
	other := files.OtherCompression(f.out)
	switch {
	case other != "":
		return usagef("-o %s: nothing is written as %s: the names of files that are compressed end in .gz or .zst", f.out, other)
	case f.format != "" && !slices.Contains(known, f.format):
		return usagef("--format %q: want one of %s", f.format, strings.Join(known, ", "))
	case f.format != "":
		return nil
	case f.out == "-":
		return usagef("in which format? say it with --format, or by the name of a file with -o")
	}
	if f.format = files.FormatOf(f.out); f.format == "" {
		f.format = map[string]string{".dump": "mitm", ".curl": "curl", ".sh": "curl", ".py": "python", ".js": "fetch", ".mjs": "fetch", ".go": "go"}[strings.ToLower(filepath.Ext(f.out))] // which may be anything elsewhere
	}
	if f.format == "" {
		return usagef("-o %s: its name does not say in which format: say it with --format", f.out)
	}
	return nil
}

func (f *flowsExport) run(cmd *cobra.Command, _ []string) error {
	if err := f.choose(); err != nil {
		return err
	}
	if err := f.redact.read(); err != nil {
		return &usageError{err}
	}
	return f.with(cmd, func(from recording, q store.Query) error { return f.export(cmd, from, q) })
}

// export writes what can be read, and says what could not.
func (f *flowsExport) export(cmd *cobra.Command, from recording, q store.Query) error {
	out, err := replace(f.out, cmd.OutOrStdout(), f.format == "mitm" || f.format == "pcapng")
	if err != nil {
		return err
	}
	x := exporter{cmd: cmd, from: from, q: q, takes: f.takes()}
	if err = x.write(f, out); err != nil {
		return errors.Join(err, out.giveUp())
	}
	if err := out.keep(); err != nil {
		return err
	}
	if f.out != "-" {
		fmt.Fprintf(cmd.ErrOrStderr(), "transom: wrote %d flows to %s\n", x.n, f.out)
	}
	if x.n+x.left+x.unread.n == 0 {
		f.noneTo(cmd, "export")
	}
	if x.left > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "transom: left out %d flows that have not ended, or that the format has nothing for\n", x.left)
	}
	return x.unread.err()
}

// An exporter writes what a query selects.
type exporter struct {
	cmd   *cobra.Command
	from  recording
	q     store.Query
	takes func(*flow.Flow) bool // reports whether the format has something for a flow
	mitm  *mitm.Writer          // which counts what it leaves out
	n     int                   // written
	left  int                   // which the format has nothing for

	unread failures
}

func (x *exporter) write(f *flowsExport, out io.Writer) error {
	packed, err := files.Compress(out, f.out)
	if err != nil {
		return err
	}
	if f.format == "json" {
		err = printFlows(x.cmd, packed, x.from, x.q, show.Options{Detail: 4, JSON: true, Redact: f.redact.rules}, func(*flow.Flow) { x.n++ }, &x.unread)
		return errors.Join(err, packed.Close())
	}
	w, err := f.writer(packed)
	if err != nil {
		return err
	}
	x.mitm, _ = w.(*mitm.Writer)
	if f.redact.rules != nil {
		w = redact.NewWriter(f.redact.rules, w)
	}
	if err := x.flows(w); err != nil {
		return err
	}
	return errors.Join(w.Close(), packed.Close())
}

// takes returns what reports whether the format has something for a flow. Others say so
// when they are asked to write it.
func (f *flowsExport) takes() func(*flow.Flow) bool {
	switch f.format {
	case "har":
		return har.Takes
	case "pcapng":
		return pcapng.Takes
	}
	return func(*flow.Flow) bool { return true }
}

// writer returns what writes the format.
func (f *flowsExport) writer(w io.Writer) (export.Writer, error) {
	switch f.format {
	case "mitm":
		return mitm.NewWriter(w, mitm.Options{Format: f.flowFormat.value})
	case "har":
		return har.NewWriter(w, har.Options{Version: buildVersion()}), nil
	case "pcapng":
		return pcapng.NewWriter(w, pcapng.Options{Version: buildVersion()}), nil
	}
	return &commands{w: w, format: f.format}, nil
}

// flows writes them.
func (x *exporter) flows(w export.Writer) error {
	ctx, bodies := x.cmd.Context(), &bodiesRead{from: x.from, unread: &x.unread}
	x.q.Lacks = x.unread.lacks
	for f, err := range x.from.Flows(ctx, x.q) {
		if err != nil {
			x.unread.add(err)
			continue
		}
		if f.State == flow.Open || !x.takes(f) {
			x.left++
			continue
		}
		bodies.forFlow(f)
		err := w.Write(ctx, f, bodies)
		noted := (*unreadError)(nil)
		switch {
		case errors.As(err, &noted): // the others are written all the same
		case errors.Is(err, command.ErrNoRequest), errors.Is(err, command.ErrNoResponse), errors.Is(err, command.ErrCut):
			x.left++
		case err != nil:
			return fmt.Errorf("flow %s: %w", f.ID, err)
		default:
			x.n++
		}
	}
	bodies.forFlow(nil)
	err := w.Finish(ctx, bodies)
	if x.mitm != nil {
		l := x.mitm.LeftOut()
		x.skip(l.Connections + l.Unreadable + l.Format)
	}
	return err
}

// skip takes back flows that were counted, and that the format has nothing for.
func (x *exporter) skip(n int) { x.n, x.left = x.n-n, x.left+n }

// commands writes each flow as something to be sent again.
type commands struct {
	w      io.Writer
	format string
	begun  bool
}

var errOneProgram = errors.New("a program in Go sends one request: choose it with -f")

// Write implements export.Writer.
func (c *commands) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	between := "\n"
	if c.begun && c.format == "go" {
		return &usageError{errOneProgram}
	}
	if !c.begun || strings.HasPrefix(c.format, "raw") {
		between = ""
	}
	if err := command.Write(ctx, &ahead{c.w, between}, c.format, f, bodies, command.Options{}); err != nil {
		return err
	}
	c.begun = true
	return nil
}

// Finish implements export.Writer.
func (c *commands) Finish(context.Context, filter.Bodies) error { return nil }

// Close implements export.Writer.
func (c *commands) Close() error { return nil }

// ahead writes something before what is first written.
type ahead struct {
	w    io.Writer
	text string
}

func (a *ahead) Write(p []byte) (int, error) {
	if a.text != "" {
		if _, err := io.WriteString(a.w, a.text); err != nil {
			return 0, err
		}
		a.text = ""
	}
	return a.w.Write(p)
}
