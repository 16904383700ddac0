package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"transom"
	"transom/app/export"
	"transom/app/files"
	"transom/app/har"
	"transom/app/pcapng"
	"transom/app/redact"
	"transom/filter"
	"transom/flow"
)

// dumpFlags are of the files that flows are written to for other programs.
type dumpFlags struct {
	har, pcap         string
	harName, pcapName files.Name
}

func (d *dumpFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&d.har, "hardump", "", "write flows that have ended to this HAR `FILE`, as browsers do; .zhar, .gz and .zst are compressed")
	fl.StringVar(&d.pcap, "pcap", "", "write flows that have ended as packets without TLS to this pcapng `FILE`, for Wireshark; +FILE is added to")
}

// check reads names and rules. saved is the file of -w.
func (d *dumpFlags) check(shown string, quiet bool, saved string) (err error) {
	stdout := 0
	for _, of := range []struct{ option, file string }{{"-w", saved}, {"--hardump", d.har}, {"--pcap", d.pcap}} {
		if of.file != "-" {
			continue
		}
		if stdout++; stdout > 1 {
			return fmt.Errorf("%s -: stdout is taken by another option", of.option)
		}
		if of.option != "-w" && !quiet && (shown == "" || shown == "-") {
			return fmt.Errorf("%s -: stdout is where flows are shown; show none, with -q, or in a file, with -o FILE", of.option)
		}
	}
	if d.har != "" {
		if d.harName, err = files.ParseName(d.har); err != nil {
			return fmt.Errorf("--hardump %w", err)
		}
		if d.harName.Append {
			return fmt.Errorf("--hardump %q: a HAR file can't be added to; give it a name without +", d.har)
		}
	}
	if d.pcap != "" {
		if d.pcapName, err = files.ParseName(d.pcap); err != nil {
			return fmt.Errorf("--pcap %w", err)
		}
	}
	return nil
}

// files reports whether there are some.
func (d *dumpFlags) files() bool { return d.har != "" || d.pcap != "" }

// withheld tells what is missing that nobody has asked to leave out.
func (f *proxyFlags) withheld() []string {
	if f.redact.rules == nil || f.dumped.pcap == "" {
		return nil
	}
	return []string{"the keys of TLS are not in the file of --pcap, since what they decrypt would not be redacted"}
}

// dump opens the files of --hardump and --pcap, if there are some.
func (f *proxyFlags) dump(p *transom.Proxy, stdout io.Writer, r *rights) (savers []*saver, err error) {
	d := &f.dumped
	if d.har != "" {
		s, err := f.dumpTo("--hardump", d.harName, p, har.Takes,
			func(name string) (io.WriteCloser, error) { return openHAR(name, d.harName, stdout, r) },
			func(to io.Writer) (export.Writer, error) {
				w := har.NewWriter(to, har.Options{Version: buildVersion()})
				return w, w.Start()
			})
		if err != nil {
			return nil, err
		}
		savers = append(savers, s)
	}
	if d.pcap != "" {
		o := pcapng.Options{Version: buildVersion()}
		if f.redact.rules == nil {
			o.Keys = new(pcapng.Keys)
			p.KeyLog = both(p.KeyLog, o.Keys)
		}
		s, err := f.dumpTo("--pcap", d.pcapName, p, pcapng.Takes,
			func(name string) (io.WriteCloser, error) { return r.save(name, d.pcapName, stdout, os.O_APPEND) },
			func(to io.Writer) (export.Writer, error) {
				w := pcapng.NewWriter(to, o)
				return w, w.Start()
			})
		if err != nil {
			return savers, err
		}
		savers = append(savers, s)
	}
	return savers, nil
}

func (f *proxyFlags) dumpTo(option string, name files.Name, p *transom.Proxy, takes func(*flow.Flow) bool, open func(string) (io.WriteCloser, error), format func(io.Writer) (export.Writer, error)) (*saver, error) {
	out, err := files.NewOutput(files.OutputOptions{
		Name: name, Option: option, Log: p.Log, Now: time.Now, Open: open, TakesBack: option == "--hardump",
		Takes: f.wants(takes, p),
		Format: func(to io.Writer) (export.Writer, error) {
			w, err := format(to)
			return f.passing(w, p), err
		},
	})
	if err != nil {
		return nil, usagef("%s: %w", option, err)
	}
	return &saver{option: option, out: out, left: func() []any { return nil }}, nil
}

// openHAR opens a file of --hardump. One that is no pipe, and not compressed, is kept a
// whole document.
func openHAR(name string, from files.Name, stdout io.Writer, r *rights) (io.WriteCloser, error) {
	file, err := r.save(name, from, stdout, 0)
	if err != nil {
		return nil, err
	}
	f, ok := file.(*os.File)
	if !ok || strings.HasPrefix(name, "&") {
		return stream{file}, nil // of a descriptor somebody else may hold the other end
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return stream{f}, err
	}
	return f, nil
}

// A stream is written from its beginning to its end.
type stream struct{ io.WriteCloser }

// both writes to two, or the one that there is.
func both(a, b io.Writer) io.Writer {
	if a == nil {
		return b
	}
	return io.MultiWriter(a, b)
}

// passing stands in front of what writes flows: it chooses them, by what they hold, and
// then takes out what is not to be written.
func (f *proxyFlags) passing(to export.Writer, p *transom.Proxy) export.Writer {
	if f.redact.rules != nil {
		to = redact.NewWriter(f.redact.rules, to)
	}
	if match := matching(f.chosen, p); match != nil {
		return &chosen{Writer: to, match: match, began: map[flow.ID]bool{}}
	}
	return to
}

// chosen writes the flows that match. A WebSocket is chosen with its handshake, too.
type chosen struct {
	export.Writer
	match func(context.Context, *flow.Flow) bool
	began map[flow.ID]bool
}

// maxBegan bounds how many handshakes are remembered.
const maxBegan = 1 << 14

// Write implements export.Writer.
func (c *chosen) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	if !c.match(ctx, f) && !c.began[f.ID] {
		return nil
	}
	delete(c.began, f.ID)
	if h, ok := f.Detail.(*flow.HTTP); ok && !h.Began.IsZero() {
		if len(c.began) >= maxBegan {
			clear(c.began)
		}
		c.began[h.Began] = true
	}
	return c.Writer.Write(ctx, f, bodies)
}

// An onto is a writer that goes on in the next file, with something in front of it.
type onto struct {
	export.Writer
	below interface{ Onto(io.Writer) }
}

// Onto implements what files.Output asks for.
func (o onto) Onto(w io.Writer) { o.below.Onto(w) }
