//go:build !linux && !darwin && !freebsd && !openbsd

package platform

import "fmt"

// Assumes says that no socket can have a foreign address.
func Assumes() error {
	return fmt.Errorf("sockets with another host's address: %w", ErrUnsupported)
}

func bindAny(int, bool) error { return Assumes() }

func foreign() error { return Assumes() }
