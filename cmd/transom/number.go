package main

import (
	"fmt"
	"strconv"
)

// portName is the type of a numberFlag that is a port.
const portName = "PORT"

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
		if n.name == portName {
			what = "port"
		}
		return fmt.Errorf("want a %s from %d to %d", what, n.min, n.max)
	}
	n.value = v
	return nil
}

// Type implements pflag.Value.
func (n *numberFlag) Type() string { return n.name }
