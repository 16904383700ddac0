package steer

import (
	"context"
	"errors"
	"log/slog"

	"transom/platform"
)

// Here returns this process as a host that can steer: platform.Here, with an
// Apply that needs CAP_NET_ADMIN. Close takes everything back.
func Here(log *slog.Logger) (platform.Host, error) {
	h, err := platform.Here(log)
	if err != nil {
		return nil, err
	}
	k, err := Open(log)
	if err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return &host{h, k}, nil
}

// host is a host with a kernel to steer by.
type host struct {
	platform.Host
	kernel *Kernel
}

// Apply implements platform.Network.
func (h *host) Apply(ctx context.Context, want platform.Steering) error {
	return h.kernel.Apply(ctx, want)
}

// Close implements platform.Host.
func (h *host) Close() error { return errors.Join(h.kernel.Close(), h.Host.Close()) }
