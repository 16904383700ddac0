package main

import (
	"net"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom/app/view"
	"transom/platform/trust"
)

// completeValues has shells complete the values of options as far as they are known: one
// of several words, as the option's help has them, an interface, a view, a format. Where
// a file or a directory is wanted the shell's own completion is right.
func completeValues(cmd *cobra.Command) {
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		values := valuesOf(f)
		if values == nil {
			return
		}
		// It fails only where the same option has one already: of a command that hands
		// its options down.
		_ = cmd.RegisterFlagCompletionFunc(f.Name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return values(), cobra.ShellCompDirectiveNoFileComp
		})
	})
	for _, c := range cmd.Commands() {
		completeValues(c)
	}
}

// valuesOf returns what lists the values that an option may have, nil if only its user
// knows them.
func valuesOf(f *pflag.Flag) func() []string {
	kind, _ := pflag.UnquoteUsage(f)
	switch {
	case strings.Contains(kind, "|"):
		words := slices.DeleteFunc(strings.Split(kind, "|"), placeholder)
		return func() []string { return words }
	case kind == "INTERFACE":
		return interfaceNames
	case kind == "FORMAT":
		return exportFormats
	case kind == "KIND":
		return func() []string { return trust.Kinds[:] }
	case kind == "ORDER":
		return func() []string {
			return []string{"time", "size", "duration", "host", "-time", "-size", "-duration", "-host"}
		}
	case f.Name == "view":
		return func() []string { return append([]string{"auto"}, view.Names()...) }
	case !slices.Contains([]string{"FILE", "DIR", "DIRECTORY", "PATH"}, kind):
		return func() []string { return nil } // and no files
	}
	return nil
}

// placeholder reports whether a word stands for one that somebody chooses.
func placeholder(w string) bool {
	return strings.ContainsAny(w, "…[]") || w == strings.ToUpper(w) && w != strings.ToLower(w)
}

// interfaceNames lists those of this network namespace.
func interfaceNames() (names []string) {
	all, err := net.Interfaces()
	if err != nil {
		return nil // a shell has nowhere to say why
	}
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}
