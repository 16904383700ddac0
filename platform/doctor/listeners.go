package doctor

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
)

// parseListeners reads /proc/net/tcp or tcp6: the sockets that listen on a port,
// and their inodes.
func parseListeners(text string, port uint16) (list []Listener, inodes []uint64) {
	const listening = "0A"
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 10 || words[3] != listening {
			continue
		}
		a, ok := parseAddr(words[1])
		if !ok || a.Port() != port {
			continue
		}
		inode, err := strconv.ParseUint(words[9], 10, 64)
		if err != nil {
			continue
		}
		list, inodes = append(list, Listener{Addr: a}), append(inodes, inode)
	}
	return list, inodes
}

// parseAddr reads an address as the kernel writes it: of words in its own order,
// which is the other one on all machines that we are built for, and the port.
func parseAddr(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	p, perr := strconv.ParseUint(port, 16, 16)
	if err != nil || perr != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		b[i], b[i+1], b[i+2], b[i+3] = b[i+3], b[i+2], b[i+1], b[i]
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(p)), true
}
