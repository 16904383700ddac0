//go:build !linux

package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"

	"transom/platform/pf"
)

// openOriginal opens pf, while this process has the right to. Who hasn't is told
// at once what will fail.
func openOriginal(log *slog.Logger) (original, func() error) {
	table, ok := pf.Here()
	if !ok {
		return func(*net.TCPConn, bool) (netip.AddrPort, error) {
			return netip.AddrPort{}, fmt.Errorf("original destinations of redirected connections: %w", ErrUnsupported)
		}, func() error { return nil }
	}
	switch err := table.Ready(); {
	case !errors.Is(err, fs.ErrPermission):
	case table.States != nil:
		log.Warn("pf can't be asked where redirected connections were meant to go: all its states are printed for each of them, by "+table.States.String(), "err", err)
	default:
		log.Info("connections that rdr-to redirects will fail, those of divert-to work: pf can't be asked where they were meant to go", "err", err)
	}
	return askFor(table), table.Close
}
