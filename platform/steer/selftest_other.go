//go:build !linux

package steer

import (
	"context"
	"net/netip"

	"transom/platform"
)

// SelfTest fails.
func SelfTest(context.Context, platform.Steering, []netip.Prefix) error { return unsupported() }
