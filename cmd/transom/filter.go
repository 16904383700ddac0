package main

import (
	"errors"
	"os"
	"strings"

	"transom/filter"
)

// A filter chooses which flows are shown, as the option --filter or, like mitmdump's,
// as what stands behind the options.

// positional takes arguments for the filter.
func (f *proxyFlags) positional(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if f.flags.Changed("filter") {
		return usagef("--filter and behind the options %q: give one filter, as in --filter '%s & (%s)'", strings.Join(args, " "), f.filter, strings.Join(args, " "))
	}
	f.filter, f.given = strings.Join(args, " "), true
	return nil
}

// readFilter compiles the filter, if there is one.
func (f *proxyFlags) readFilter() (err error) {
	if !f.given && !f.flags.Changed("filter") {
		return nil
	}
	if f.quiet && !f.saves() {
		return errors.New("-q shows no flows: leave it out, or the filter")
	}
	f.chosen, err = filter.Parse(f.filter, filterOptions())
	return err
}

// choosing says what the filter lets through, since a word that was meant for
// something else is a filter, too.
func (f *proxyFlags) choosing() []string {
	if f.chosen == nil {
		return nil
	}
	what := "shown"
	switch {
	case f.quiet:
		what = "saved"
	case f.saves():
		what = "shown and saved"
	}
	return []string{"flows are " + what + " only where " + f.chosen.Describe()}
}

// filterOptions say how all filters are read.
func filterOptions() filter.Options {
	return filter.Options{CaseSensitive: os.Getenv("MITMPROXY_CASE_SENSITIVE_FILTERS") == "1"}
}

// saves reports whether flows are written to files as well.
func (f *proxyFlags) saves() bool { return f.saved.file != "" || f.dumped.files() }
