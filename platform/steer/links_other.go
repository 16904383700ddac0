//go:build !linux && !darwin && !freebsd && !openbsd

package steer

import (
	"fmt"
	"log/slog"
	"net/netip"

	"transom/platform"
)

// Links lists the host's interfaces.
func Links() ([]Link, error) {
	return nil, fmt.Errorf("find the interfaces that clients are behind: %w", unsupported())
}

// Inward reports whether an address is this host's, or behind it.
func Inward(netip.Addr) (bool, error) {
	return false, fmt.Errorf("find the way to an address: %w", platform.ErrUnsupported)
}

// Networks returns what is routed by the interfaces.
func Networks([]string) ([]netip.Prefix, error) {
	return nil, fmt.Errorf("find the clients' networks: %w", platform.ErrUnsupported)
}

// NotForwarding returns which families the host does not forward.
func NotForwarding() ([]string, error) {
	return nil, fmt.Errorf("see whether this host forwards: %w", platform.ErrUnsupported)
}

// WatchLinks tells of interfaces that go.
func WatchLinks([]string, *slog.Logger) (func() error, error) {
	return nil, fmt.Errorf("watch the interfaces: %w", platform.ErrUnsupported)
}

// Translations finds what firewalls do to what leaves.
func Translations(platform.Steering, []netip.Prefix) ([]Translation, error) {
	return nil, fmt.Errorf("find translations of addresses: %w", platform.ErrUnsupported)
}
