package owner

import (
	"maps"
	"net"
	"net/netip"
	"testing"
)

// TestOwnAddresses: they are those that the standard library finds, which asks more.
func TestOwnAddresses(t *testing.T) {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	want := map[netip.Addr]uint32{}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			own, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
			want[own.Unmap()] = uint32(i.Index)
		}
	}
	if got := ownAddresses(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
