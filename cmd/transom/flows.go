package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom/app/control"
	"transom/filter"
	"transom/flow"
	"transom/store"
)

func flowsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Read and convert what was recorded",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("what to do with the flows? known are: list, show, export, import, stats, prune")
		},
	}
	cmd.AddCommand(flowsListCommand(), flowsShowCommand(), flowsExportCommand(), flowsImportCommand(), flowsStatsCommand(), flowsPruneCommand())
	return cmd
}

// A recording is where flows are read from.
type recording interface {
	Flows(ctx context.Context, q store.Query) iter.Seq2[*flow.Flow, error]
	OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error)
	Close() error
}

// A changeable recording is one that flows can be deleted of.
type changeable interface {
	recording
	Delete(ctx context.Context, ids ...flow.ID) error
}

// recordingFlags say which recording is read, and what of it.
type recordingFlags struct {
	store  string
	file   string
	key    string
	pid    numberFlag
	filter string
	flags  *pflag.FlagSet

	changes bool // what is opened is changeable

	chosen *filter.Filter // what the filter says
}

// add defines the flags.
func (f *recordingFlags) add(fl *pflag.FlagSet) {
	f.flags = fl
	fl.StringVar(&f.store, "store", "", "the `DIRECTORY` that flows were recorded in; it may be in use")
	fl.StringVarP(&f.file, "read-flows", "r", "", "the `FILE` that flows were saved in; - is stdin")
	f.pid = numberFlag{max: 1 << 30, name: "PID"}
	fl.Var(&f.pid, "pid", "the process of the transom that runs, where there are several (default, without --store and -r: the one there is)")
	fl.StringVar(&f.key, "store-key", "", "the `FILE` with the key that the store is encrypted under")
	fl.StringVarP(&f.filter, "filter", "f", "", "only flows that match `EXPR`, in mitmproxy's language, as in '~d example\\.com & !~c 200'")
}

// with opens the recording, has something done with it and a query for what the filter
// says, and closes it.
func (f *recordingFlags) with(cmd *cobra.Command, do func(from recording, q store.Query) error) (err error) {
	match, err := filterOf(f.flags, f.filter)
	if err != nil {
		return &usageError{err}
	}
	f.chosen = match
	from, err := f.open(cmd.Context(), cmd.InOrStdin(), logger(cmd.ErrOrStderr(), slog.LevelWarn))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	err = do(from, store.Query{Filter: match, Doubt: sayDoubt(cmd)})
	if silent := (*control.SilentError)(nil); errors.As(err, &silent) && f.store == "" {
		err = fmt.Errorf("%w; what it records to a directory can be read with --store DIRECTORY", err)
	}
	return err
}

// noneTo says how the filter was read, to whom it shows nothing: an address that has a
// dash in it, or a word that is meant for something else, is a filter, too.
func (f *recordingFlags) noneTo(cmd *cobra.Command, do string) {
	if f.chosen != nil && cmd.Context().Err() == nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "transom: there is no flow to %s where %s\n", do, f.chosen.Describe())
	}
}

// open opens the recording. The caller closes it. log is told of what is damaged.
func (f *recordingFlags) open(ctx context.Context, stdin io.Reader, log *slog.Logger) (recording, error) {
	switch {
	case f.key != "" && f.store == "":
		return nil, usagef("--store-key is for a directory: name one with --store")
	case f.store != "" && f.file != "", f.pid.value != 0 && f.store+f.file != "":
		return nil, usagef("--store, -r and --pid: give one of them")
	case f.file != "":
		return openFlowFile(f.file, stdin)
	case f.store != "":
		return openStore(ctx, f.store, f.key, f.changes, log)
	}
	return lookAt(ctx, f.pid.value)
}
