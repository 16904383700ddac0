package owner

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// devices are the numbers of interfaces by their addresses, as they were lately.
type devices struct {
	of map[netip.Addr]uint32
	at time.Time
}

// devicesFor is how long these are taken for the present ones.
const devicesFor = 5 * time.Second

// with is the interface that has an address, 0 if there is none.
func (d *devices) with(a netip.Addr) uint32 {
	if now := time.Now(); now.Sub(d.at) > devicesFor {
		d.of, d.at = ownAddresses(), now
	}
	return d.of[a]
}

// ownAddresses asks the kernel once for all: by one interface after the other (net.Interface)
// it is a second where there are some hundred. What is not known is not found.
func ownAddresses() map[netip.Addr]uint32 {
	of := map[netip.Addr]uint32{}
	b, err := syscall.NetlinkRIB(unix.RTM_GETADDR, unix.AF_UNSPEC)
	if err != nil {
		return of
	}
	ms, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return of
	}
	for i := range ms {
		if a := ownAddress(&ms[i]); a.IsValid() {
			of[a] = binary.NativeEndian.Uint32(ms[i].Data[4:])
		}
	}
	return of
}

// ownAddress is the address that a message tells of, none if it is about something
// else. Where there is a peer IFA_ADDRESS is that one's.
func ownAddress(m *syscall.NetlinkMessage) (own netip.Addr) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return own
	}
	attrs, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return own
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.IFA_LOCAL || a.Attr.Type == unix.IFA_ADDRESS && !own.IsValid() {
			own, _ = netip.AddrFromSlice(a.Value) // none, of another size
		}
	}
	return own
}
