package main

import (
	"fmt"
	"strconv"
	"strings"
)

// A sizeFlag is a number of bytes, written as 512k, 32m or 1g (powers of 1024).
type sizeFlag int64

// String implements pflag.Value.
func (s *sizeFlag) String() string {
	n := int64(*s)
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Set implements pflag.Value.
func (s *sizeFlag) Set(text string) error {
	digits, unit := strings.ToLower(text), int64(1)
	for _, u := range sizeUnits {
		if cut, ok := strings.CutSuffix(digits, u.name); ok {
			digits, unit = cut, u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size such as 512k, 32m or 1g", text)
	}
	*s = sizeFlag(n * unit)
	return nil
}

// Type implements pflag.Value.
func (s *sizeFlag) Type() string { return "size" }

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}}
