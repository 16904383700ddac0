//go:build !linux

package segment_test

import "errors"

// fillTmpfs is of Linux.
func fillTmpfs(string) error { return errors.ErrUnsupported }
