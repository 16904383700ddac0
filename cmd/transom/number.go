package main

import (
	"fmt"
	"strconv"
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
		return fmt.Errorf("want a number from %d to %d", n.min, n.max)
	}
	n.value = v
	return nil
}

// Type implements pflag.Value.
func (n *numberFlag) Type() string { return n.name }
