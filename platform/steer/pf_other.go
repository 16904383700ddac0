//go:build !darwin && !freebsd && !openbsd

package steer

import (
	"fmt"
	"log/slog"

	"transom/platform"
)

// openPF fails.
func openPF(*slog.Logger) (Steerer, error) {
	return nil, fmt.Errorf("steer by pf: %w", platform.ErrUnsupported)
}

// openIPFW fails.
func openIPFW(*slog.Logger) (Steerer, error) {
	return nil, fmt.Errorf("steer by ipfw: %w", platform.ErrUnsupported)
}
