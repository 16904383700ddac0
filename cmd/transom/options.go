package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// errEmpty is of a value that is nothing.
var errEmpty = errors.New("that is empty: leave the option out, or give it a value")

// badOption words what is wrong with an option as we do.
func badOption(cmd *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	var none *pflag.NotExistError
	var lacks *pflag.ValueRequiredError
	switch {
	case errors.As(err, &none):
		return unknown(cmd.Flags(), none)
	case errors.As(err, &lacks):
		return usagef("--%s: its value is missing", lacks.GetFlag().Name)
	case !errors.As(err, &bad):
		return &usageError{err}
	}
	why := bad.Unwrap()
	if bad.GetFlag().Value.Type() == "bool" {
		why = errors.New("want true or false")
	}
	return usagef("--%s %q: %w", bad.GetFlag().Name, bad.GetValue(), why)
}

// unknown is of an option that is not there.
func unknown(fl *pflag.FlagSet, e *pflag.NotExistError) error {
	name, letters := e.GetSpecifiedName(), e.GetSpecifiedShortnames()
	long, _, _ := strings.Cut(letters, "=")
	switch {
	case letters == "":
		return usagef("there is no option --%s", name)
	case fl.Lookup(long) != nil:
		return usagef("there is no option -%s; --%s has two dashes", long, long)
	}
	return usagef("there is no option -%s", name)
}

// empty refuses the first option whose value was given, and is nothing.
func empty(fl *pflag.FlagSet) (err error) {
	fl.Visit(func(f *pflag.Flag) {
		if err == nil && f.Value.Type() == "string" && f.Value.String() == "" {
			err = &usageError{fmt.Errorf("--%s %q: %w", f.Name, "", errEmpty)}
		}
	})
	return err
}
