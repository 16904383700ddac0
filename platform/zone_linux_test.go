package platform

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestZone(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil { // a kernel without IPv6 has interfaces as well
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if got := zone(fd, uint32(i.Index)); got != i.Name {
			t.Errorf("interface %d is %q, want %q", i.Index, got, i.Name)
		}
	}
	if got := zone(fd, 1<<31-1); got != "2147483647" {
		t.Errorf("an interface that is not there is %q", got)
	}
}
