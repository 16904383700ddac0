package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"transom/app/redact"
)

// A redactFlag says what is taken out of flows before somebody else sees them.
type redactFlag struct {
	texts []string
	rules *redact.Rules // nil: nothing is
}

// add defines the flag. of is what it acts on.
func (r *redactFlag) add(fl *pflag.FlagSet, of string) {
	fl.StringArrayVar(&r.texts, "redact", nil, "leave out of "+of+" what this `RULE` says, and what is a secret by its name: secrets, header:NAME, query:NAME, form:NAME, json:PATH or body:REGEX; may be repeated")
}

// read reads the rules.
func (r *redactFlag) read() (err error) {
	if len(r.texts) == 0 {
		return nil
	}
	if r.rules, err = redact.Parse(r.texts); err != nil {
		return fmt.Errorf("--redact %w", err)
	}
	return nil
}
