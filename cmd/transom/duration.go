package main

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A durationFlag is a duration of 0 or more, written as 30s, 2m or 1h30m; a bare
// number is of seconds.
type durationFlag time.Duration

// String implements pflag.Value. It leaves out what is none of, as in 2m0s.
func (d *durationFlag) String() string {
	text := time.Duration(*d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// grace says what becomes of open connections at the end, if d is how long they may
// go on.
func (d *durationFlag) grace() string {
	if *d == 0 {
		return "open connections are cut"
	}
	return "open connections may finish within " + d.String()
}

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
