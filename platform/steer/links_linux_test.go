package steer_test

import (
	"net/netip"
	"testing"

	"transom/platform/steer"
)

// TestInward asks where an address is: here, behind us, or on the way out.
func TestInward(t *testing.T) {
	w := newRouter(t)
	ip := tool(t, "ip")
	w.run(ip, "route", "add", "default", "via", "10.9.0.2")
	w.run(ip, "route", "add", "172.16.5.0/24", "via", "192.168.1.2")
	for addr, want := range map[string]bool{
		"192.168.1.77": true,  // the LAN's
		"172.16.5.1":   true,  // of a router on the LAN
		"10.9.0.1":     true,  // our own, on the way out
		"10.9.0.77":    false, // who is asked for it there is not us
		"192.0.2.1":    false,
	} {
		err := w.Gateway.Do(func() error {
			got, err := steer.Inward(netip.MustParseAddr(addr))
			if got != want {
				t.Errorf("%s is inward: %v, want %v", addr, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
