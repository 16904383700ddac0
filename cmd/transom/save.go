package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"transom"
	"transom/app/export"
	"transom/app/files"
	"transom/app/mitm"
	"transom/filter"
	"transom/flow"
)

// saveFlags are of the file that flows are saved in, in mitmproxy's format.
type saveFlags struct {
	file   string
	format numberFlag
	name   files.Name
}

func (s *saveFlags) add(fl *pflag.FlagSet) {
	s.format = numberFlag{value: mitm.Newest, min: mitm.Oldest, max: mitm.Newest, name: "N"}
	fl.StringVarP(&s.file, "save-stream-file", "w", "", "save flows that have ended in this `FILE`, as mitmproxy does: +FILE is added to, %Y-%m-%d and the like make a file for each day, .gz and .zst are compressed")
	fl.Var(&s.format, "flow-format", "version of mitmproxy's format that -w writes: 21 is read by mitmproxy 11, 17 by 8.1, 12 by 7")
}

// check reads the name. shown is where flows are shown.
func (s *saveFlags) check(fl *pflag.FlagSet, shown string, quiet bool) (err error) {
	switch {
	case s.file == "" && fl.Changed("flow-format"):
		return errors.New("--flow-format is of -w, which is missing")
	case s.file == "":
		return nil
	case s.file == "-" && !quiet && (shown == "" || shown == "-"):
		return errors.New("-w -: stdout is where flows are shown; show none, with -q, or in a file, with -o FILE")
	}
	if s.name, err = files.ParseName(s.file); err != nil {
		return fmt.Errorf("-w %w", err)
	}
	return nil
}

// formats refuses names that promise another format than what is written there: whoever
// gave one would find that out when the traffic is gone.
func (f *proxyFlags) formats() error {
	if files.Compressed(f.out) {
		return fmt.Errorf("-o %s: what -o writes is not compressed: leave %s out", f.out, filepath.Ext(f.out))
	}
	writers := map[string]string{"mitm": "-w", "har": "--hardump", "pcapng": "--pcap", "json": "--json -o"}
	shown, lines := "", "lines for a person"
	if f.json {
		shown, lines = "json", "lines of JSON"
	}
	for _, of := range []struct{ option, file, format, writes string }{
		{"-o", f.out, shown, lines},
		{"-w", f.saved.file, "mitm", "mitmproxy's format"},
		{"--hardump", f.dumped.har, "har", "HAR"},
		{"--pcap", f.dumped.pcap, "pcapng", "packets"},
	} {
		if end := files.OtherCompression(of.file); end != "" {
			return fmt.Errorf("%s %s: nothing is written as %s: the names of files that are compressed end in .gz or .zst", of.option, of.file, end)
		}
		promised := files.FormatOf(of.file)
		if promised == "" || promised == of.format || promised == "json" && of.format == "har" { // which is JSON
			continue
		}
		return fmt.Errorf("%s %s: what %s writes is %s; a file of that name is written by %s", of.option, of.file, of.option, of.writes, writers[promised])
	}
	return nil
}

// A saver puts flows into a file as they end. Traffic does not wait for it.
type saver struct {
	option string
	out    *files.Output
	left   func() []any // what of the flows is not in the file, for the log
}

// savers opens the files of -w, --hardump and --pcap. It returns those that are open
// also with an error.
func (f *proxyFlags) savers(p *transom.Proxy, stdout io.Writer, r *rights) (all []*saver, err error) {
	if f.saved.file != "" {
		s, err := f.save(p, stdout, r)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	dumped, err := f.dump(p, stdout, r)
	return append(all, dumped...), err
}

// save opens the file of -w.
func (f *proxyFlags) save(p *transom.Proxy, stdout io.Writer, r *rights) (*saver, error) {
	s := &saver{option: "-w"}
	out, err := files.NewOutput(files.OutputOptions{
		Name: f.saved.name, Option: s.option, Log: p.Log, Now: time.Now,
		Takes: f.wants(func(x *flow.Flow) bool { return mitm.Takes(x, f.saved.format.value) }, p),
		Open:  func(name string) (io.WriteCloser, error) { return r.save(name, f.saved.name, stdout, os.O_APPEND) },
		Format: func(to io.Writer) (export.Writer, error) {
			o := mitm.Options{Format: f.saved.format.value}
			if f.redact.rules == nil {
				o.Match = matching(f.chosen, p)
			}
			w, err := mitm.NewWriter(to, o)
			s.left = func() []any { return leftOut(w.LeftOut()) }
			if f.redact.rules != nil { // what chooses has to see all
				return onto{f.passing(w, p), w}, err
			}
			return w, err
		},
	})
	if err != nil {
		return nil, usagef("-w: %w", err)
	}
	s.out = out
	return s, nil
}

// wants tells of which flows a file would have something.
func (f *proxyFlags) wants(takes func(*flow.Flow) bool, p *transom.Proxy) func(context.Context, *flow.Flow) bool {
	match := matching(f.chosen, p)
	return func(ctx context.Context, x *flow.Flow) bool { return takes(x) && (match == nil || match(ctx, x)) }
}

// matching chooses flows by the filter. What can't be decided is saved.
func matching(chosen *filter.Filter, p *transom.Proxy) func(context.Context, *flow.Flow) bool {
	if chosen == nil {
		return nil
	}
	return func(ctx context.Context, f *flow.Flow) bool {
		ok, _ := chosen.Match(ctx, f, p.Flows()) // it counts as a match where there is an error
		return ok
	}
}

// leftOut says what mitmproxy's format has no place for.
func leftOut(l mitm.LeftOut) (args []any) {
	for _, of := range []struct {
		name string
		n    int
	}{
		{"connections", l.Connections}, {"unreadable", l.Unreadable}, {"not_in_format", l.Format}, {"bodies_not_kept", l.Bodies},
	} {
		if of.n > 0 {
			args = append(args, of.name, of.n)
		}
	}
	return args
}

// run saves what ends, until news do or a reader has left, which is its error.
func (s *saver) run(ctx context.Context, p *transom.Proxy) error {
	for f, lost := range p.Watch(ctx) {
		s.out.Miss(lost)
		if f == nil || f.State == flow.Open {
			continue
		}
		if err := s.out.Write(ctx, f, p.Flows()); err != nil {
			return fmt.Errorf("%s: %w", s.option, err)
		}
	}
	return nil
}

// close finishes the file.
func (s *saver) close(ctx context.Context, p *transom.Proxy) error {
	err := s.out.Close(ctx, p.Flows())
	if args := s.left(); args != nil {
		p.Log.Info("not all is in the file: mitmproxy has no place for it", append([]any{"option", s.option}, args...)...)
	}
	return err
}

// save opens a file that flows are saved in: as create does while there are rights, and
// later as whoever we have become, for which it has to be made possible.
// flags are how it is opened, besides what its name says.
func (r *rights) save(name string, from files.Name, stdout io.Writer, flags int) (io.WriteCloser, error) {
	if name == "-" {
		return kept{stdout}, nil
	}
	if number, ok := strings.CutPrefix(name, "&"); ok {
		return given(number)
	}
	if !from.Append {
		flags |= os.O_TRUNC
	}
	if r.confined {
		_ = os.MkdirAll(filepath.Dir(name), 0o700) // opening says what is wrong with it
		return os.OpenFile(name, flags|os.O_CREATE|os.O_WRONLY, 0o600)
	}
	if !from.Rotates() {
		_ = r.asUser(func() error { return os.MkdirAll(filepath.Dir(name), 0o700) })
		return r.create(name, flags)
	}
	if err := r.writable(from.Dir()); err != nil {
		return nil, err
	}
	var file *os.File
	err := r.asWhom(func() (err error) {
		if err = os.MkdirAll(filepath.Dir(name), 0o700); err == nil {
			file, err = os.OpenFile(name, flags|os.O_CREATE|os.O_WRONLY, 0o600)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: later files are made as whom traffic is read, so that is needed now: give them %s, or choose by --user", err, from.Dir())
	}
	return file, nil
}

// kept is what is not ours to close.
type kept struct{ io.Writer }

func (kept) Close() error { return nil }
