package main

import (
	"errors"
	"strconv"
	"strings"
)

// A sizeFlag is a number of bytes, written as 512k, 32m or 1g (powers of 1024). Fractions
// and the endings B and iB are taken too.
type sizeFlag int64

// String implements pflag.Value.
func (s sizeFlag) String() string {
	n := int64(s)
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// Set implements pflag.Value.
func (s *sizeFlag) Set(text string) error {
	number, unit := strings.ToLower(text), int64(1)
	number = strings.TrimSuffix(strings.TrimSuffix(number, "b"), "i")
	for _, u := range sizeUnits {
		if cut, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = cut, u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.Trim(number, "0123456789.") != "" || n > float64(1<<62)/float64(unit) {
		return errors.New("want a size such as 512k, 1.5m, 32MB or 1GiB (powers of 1024)")
	}
	*s = sizeFlag(n * float64(unit))
	return nil
}

// Type implements pflag.Value.
func (s *sizeFlag) Type() string { return "SIZE" }

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}}
