package main

import (
	"errors"
	"strings"
)

// A listFlag is a list with commas, and of all that it was given when it is
// repeated. It is never given empty: that is a script's variable that nobody has
// set, and who leaves an option out gets all there is.
type listFlag []string

// String implements pflag.Value.
func (l *listFlag) String() string { return strings.Join(*l, ",") }

// Set implements pflag.Value.
func (l *listFlag) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		switch {
		case word == "" && text == "":
			return errEmpty
		case word == "":
			return errors.New("there is nothing beside a comma")
		}
		*l = append(*l, word)
	}
	return nil
}

// Type implements pflag.Value.
func (l *listFlag) Type() string { return "LIST" }
