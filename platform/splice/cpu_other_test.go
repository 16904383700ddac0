//go:build !linux

package splice_test

import "time"

// cpu can't measure one goroutine here.
type cpu struct{ used time.Duration }

func (c *cpu) measure(f func()) { f() }
