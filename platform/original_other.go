//go:build !linux

package platform

import (
	"fmt"
	"net"
	"net/netip"

	"transom/platform/pf"
)

// openOriginal opens pf, while this process has the right to.
func openOriginal() (original, func() error, error) {
	table, ok := pf.Here()
	if !ok {
		return func(*net.TCPConn, bool) (netip.AddrPort, error) {
			return netip.AddrPort{}, fmt.Errorf("original destinations of redirected connections: %w", ErrUnsupported)
		}, func() error { return nil }, nil
	}
	return askFor(table), table.Close, nil
}
