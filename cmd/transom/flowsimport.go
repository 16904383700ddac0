package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom/app/files"
	"transom/filter"
	"transom/flow"
	"transom/store"
)

func flowsImportCommand() *cobra.Command {
	var dir, key, expr string
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Put flows from files into a store",
		Long: `import reads files, each in one of the formats that are known here, compressed or
not, and puts their flows into a store, which is made if there is none. A flow that
is there already is replaced. What can be read before a file's first error is kept.`,
		Example: `  transom flows import --store captures saved.mitm browser.har`,
	}
	fl := cmd.Flags()
	fl.StringVar(&dir, "store", "", "the `DIRECTORY` to put flows into")
	fl.StringVar(&key, "store-key", "", "the `FILE` with the key that the store is encrypted under, or is to be")
	fl.StringVarP(&expr, "filter", "f", "", "only flows that match `EXPR`")
	cmd.RunE = running(func(cmd *cobra.Command, args []string) (err error) {
		switch {
		case len(args) == 0:
			return usagef("which files?")
		case dir == "":
			return usagef("into which store? name a directory with --store")
		}
		match, err := filterOf(fl, expr)
		if err != nil {
			return &usageError{err}
		}
		opened, err := openAll(args)
		defer closeAll(opened)
		if err != nil {
			return err
		}
		o, err := storeOptions(dir, key)
		if err != nil {
			return err
		}
		o.Lossless, o.Log = true, logger(cmd.ErrOrStderr(), slog.LevelWarn)
		d, err := changeStore(o)
		if err != nil {
			return err
		}
		before := d.Stats()
		in := &importing{Store: d, filter: match, doubt: sayDoubt(cmd)}
		for _, f := range opened {
			if err = files.Read(cmd.Context(), f, f.Name(), in); err != nil {
				break
			}
		}
		if err == nil {
			err = d.Index(cmd.Context())
		}
		there := ""
		after := d.Stats()
		if old := in.n - (after.Flows - before.Flows) - int(after.Evicted-before.Evicted); old > 0 {
			there = fmt.Sprintf(", %d of them in the place of what was there already", old)
		}
		err = errors.Join(err, d.Close())
		fmt.Fprintf(cmd.ErrOrStderr(), "transom: put %d flows into %s%s\n", in.n, dir, there)
		return err
	})
	return cmd
}

// filterOf compiles a filter, nil if none was given.
func filterOf(fl *pflag.FlagSet, expr string) (*filter.Filter, error) {
	if !fl.Changed("filter") {
		return nil, nil
	}
	return filter.Parse(expr, filterOptions())
}

// importing is a store that takes what a filter lets through.
type importing struct {
	store.Store
	filter *filter.Filter
	doubt  func(*flow.Flow, error)
	n      int
}

// Put implements export.Sink.
func (in *importing) Put(ctx context.Context, f *flow.Flow) error {
	q := store.Query{Filter: in.filter, Doubt: in.doubt}
	if !q.Selects(ctx, f, in.Store) {
		return nil
	}
	in.n++
	return in.Store.Put(ctx, f)
}

// openAll opens files for reading.
func openAll(names []string) (opened []*os.File, err error) {
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return opened, err
		}
		opened = append(opened, f)
	}
	return opened, nil
}

// closeAll closes files that were only read.
func closeAll(opened []*os.File) {
	for _, f := range opened {
		f.Close()
	}
}
