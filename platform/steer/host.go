package steer

import (
	"context"
	"errors"
	"log/slog"

	"transom/platform"
)

// Here returns this process as a host that can steer: platform.Here, with an
// Apply that needs CAP_NET_ADMIN, or root on macOS, FreeBSD and OpenBSD, where it is
// pf that steers. Close takes everything back. Where a process that dies leaves
// something behind, as with pf, Here takes that back, too.
func Here(log *slog.Logger) (platform.Host, error) {
	h, err := platform.Here(log)
	if err != nil {
		return nil, err
	}
	k, err := openHere(log)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &host{h, k}, nil
}

// host is a host with a kernel to steer by.
type host struct {
	platform.Host
	kernel kernel
}

// A kernel is what steers.
type kernel interface {
	platform.Network
	Close() error
}

// Apply implements platform.Network.
func (h *host) Apply(ctx context.Context, want platform.Steering) error {
	return h.kernel.Apply(ctx, want)
}

// Close implements platform.Host.
func (h *host) Close() error { return errors.Join(h.kernel.Close(), h.Host.Close()) }
