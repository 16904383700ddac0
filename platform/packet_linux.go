package platform

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sender is where a datagram came from, as the kernel wrote it. What x/sys has for
// this allocates for each.
type sender struct{ raw unix.RawSockaddrInet6 }

// receive reads a datagram without waiting.
func (s *sender) receive(fd int, p []byte) (int, error) {
	size := uint32(unsafe.Sizeof(s.raw))
	s.raw.Family = unix.AF_UNSPEC
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&s.raw)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (s *sender) addr() netip.AddrPort {
	b := (*[unsafe.Sizeof(unix.RawSockaddrInet6{})]byte)(unsafe.Pointer(&s.raw))
	port := binary.BigEndian.Uint16(b[2:])
	switch s.raw.Family {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:])), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:])).Unmap(), port)
	}
	return netip.AddrPort{}
}
