package platform

import (
	"net/netip"
	"sync/atomic"
)

// ownSet is the host's addresses: unmapped, without zones. It never changes
// once it is published.
type ownSet map[netip.Addr]struct{}

// addresses is the current ownSet. Readers take no lock.
type addresses struct {
	set  atomic.Pointer[ownSet]
	stop func() error // ends what keeps set current, and waits for it
}

// has reports whether a reaches this host: all of 127.0.0.0/8 and ::1 does, and
// so do the unspecified addresses when they are dialled.
func (o *addresses) has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return false
	}
	if a.IsLoopback() || a.IsUnspecified() {
		return true
	}
	_, ok := (*o.set.Load())[a]
	return ok
}

func (o *addresses) close() error {
	if o.stop == nil {
		return nil
	}
	return o.stop()
}

// add puts an address in the form that has looks for.
func (s ownSet) add(a netip.Addr) { s[a.Unmap().WithZone("")] = struct{}{} }
