//go:build linux && !amd64 && !arm64

package sandbox

import (
	"fmt"
	"runtime"

	"transom/platform"
)

// OnlyLook has no list for this architecture.
func OnlyLook() error {
	return fmt.Errorf("hold a process to a list of system calls on %s: %w", runtime.GOARCH, platform.ErrUnsupported)
}

// restrictCalls has no list for this architecture.
func restrictCalls(r *Report) error {
	r.missing("there is no list of system calls for ", runtime.GOARCH, " yet: all can be made")
	return nil
}
