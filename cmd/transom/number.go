package main

import (
	"fmt"
	"strconv"
)

// The types of a numberFlag that is a port, or a time.
const (
	portName    = "PORT"
	secondsName = "SECONDS"
)

// A numberFlag is a whole number between bounds, which its error names.
type numberFlag struct {
	value    int
	min, max int
	name     string // of its type, for the help
}

// String implements pflag.Value.
func (n *numberFlag) String() string { return strconv.Itoa(n.value) }

// Set implements pflag.Value.
func (n *numberFlag) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < n.min || v > n.max {
		what := "number"
		switch n.name {
		case portName:
			what = "port"
		case secondsName:
			what = "number of seconds"
		}
		return fmt.Errorf("want a %s from %d to %d", what, n.min, n.max)
	}
	n.value = v
	return nil
}

// Type implements pflag.Value.
func (n *numberFlag) Type() string { return n.name }
