//go:build !linux && !darwin && !freebsd && !openbsd

package steer

import "log/slog"

func openHere(*slog.Logger) (kernel, error) { return nil, unsupported() }
