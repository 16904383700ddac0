package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"transom/filter"
	"transom/platform"
	"transom/policy"
)

// option looks for a command that has an option, and takes its value; either may
// stand as a choice: a|b.
func (r *reader) option(name, value string) error {
	r.options++
	name, assigned, _ := strings.Cut(name, "=")
	value = strings.TrimSpace(assigned + " " + value)
	err := fmt.Errorf("no command has the option %s; if it is another program's, others has a place for it", name)
	for _, cmd := range documented(rootCommand()) {
		f := cmd.Flags().Lookup(strings.TrimLeft(name, "-"))
		if !strings.HasPrefix(name, "--") {
			f = cmd.Flags().ShorthandLookup(strings.TrimLeft(name, "-")[:1])
		}
		if f == nil {
			continue
		}
		err = nil
		for v := range strings.SplitSeq(value, "|") {
			if v != "" && !placeholder(v) {
				err = errors.Join(err, f.Value.Set(v), taken(f, v))
			}
		}
		if err == nil {
			return nil
		}
	}
	return err
}

// taken says what is wrong with an option's value, going by what its help calls it.
func taken(f *pflag.Flag, value string) (err error) {
	kind, _ := pflag.UnquoteUsage(f)
	switch {
	case f.Value.Type() != "stringArray" && placeholder(value):
		return nil
	case strings.Contains(kind, "|"):
		choice := strings.Split(kind, "|")
		if !slices.Contains(choice, value) && !slices.ContainsFunc(choice, func(c string) bool { return c == strings.ToUpper(c) }) {
			err = fmt.Errorf("want %s", kind)
		} else if !slices.Contains(choice, value) {
			_, err = netip.ParseAddr(value)
		}
	case kind == "REGEX":
		for _, v := range values(f, value) {
			_, bad := policy.CompilePattern(v)
			err = errors.Join(err, bad)
		}
	case kind == "EXPR":
		_, err = filter.Parse(value, filter.Options{})
	case kind == "NETWORK":
		_, err = networks(f.Name, values(f, value))
	case kind == "PORTS" && value != "all" && value != none:
		_, err = platform.ParsePorts(value)
	case kind == "MASK":
		_, err = parseMarks(value)
	case kind == "SPEC":
		for _, v := range values(f, value) {
			_, bad := parseMode(v, "", defaultPort)
			err = errors.Join(err, bad)
		}
	}
	if err != nil {
		return fmt.Errorf("--%s: %w", f.Name, err)
	}
	return nil
}

// values are those of an option that may be repeated.
func values(f *pflag.Flag, value string) []string {
	if l, ok := f.Value.(pflag.SliceValue); ok && f.Changed {
		return l.GetSlice()
	}
	return strings.Split(value, ",")
}
