package egress

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrNear is wrapped by Dial's error for an address that only this host should
// reach, when Target.Far rules that out.
var ErrNear = errors.New("this address is for programs on the proxy's own host, and the client is not on it")

// refuseNear refuses what listens on loopback alone and trusts whoever comes,
// and link-local addresses, where a cloud tells its machines their secrets.
func refuseNear(dst netip.AddrPort) error {
	if a := dst.Addr().Unmap(); a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() {
		return fmt.Errorf("%s: %w", dst, ErrNear)
	}
	return nil
}
