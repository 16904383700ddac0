package main

import (
	"errors"
	"strconv"
	"time"
)

// A durationFlag is a duration of 0 or more, written as 30s, 2m or 1h30m; a bare
// number is of seconds.
type durationFlag time.Duration

// String implements pflag.Value.
func (d *durationFlag) String() string { return time.Duration(*d).String() }

// Set implements pflag.Value.
func (d *durationFlag) Set(text string) error {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		*d = durationFlag(time.Duration(n) * time.Second)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return errors.New("want a duration such as 30s, 2m or 0, or a number of seconds")
	}
	*d = durationFlag(v)
	return nil
}

// Type implements pflag.Value.
func (d *durationFlag) Type() string { return "DURATION" }
