package doctor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform/steer"
)

// watch listens to what passes, for as long as was asked.
func (m *Machine) watch(ctx context.Context) error {
	if m.Watch == 0 || !m.Raw || len(m.Steering.Interfaces) == 0 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(bigEndian(unix.ETH_P_ALL)))
	if err != nil {
		return fmt.Errorf("listen to what passes: %w", err)
	}
	defer unix.Close(fd)
	inward := func(name string) bool { return slices.Contains(m.Steering.Interfaces, name) }
	own := func(a netip.Addr) bool {
		return slices.ContainsFunc(m.Links, func(l steer.Link) bool {
			return slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
		})
	}
	w := newWatcher(inward, own, m.Steering.Ports)
	before := filtered()
	if err := listen(ctx, fd, m.Watch, w); err != nil {
		return err
	}
	m.Traffic = w.sum(m.route)
	m.Traffic.Filtered = filtered() - before
	return nil
}

// listen gives frames to a watcher.
func listen(ctx context.Context, fd int, within time.Duration, w *watcher) error {
	names := map[int]string{}
	buf := make([]byte, 128) // headers are enough
	for end := time.Now().Add(within); time.Now().Before(end) && ctx.Err() == nil; {
		const slice = 50 // milliseconds: then the context is looked at
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, slice); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("listen to what passes: %w", err)
		}
		for range 256 { // then it is looked at the clock
			n, from, err := unix.Recvfrom(fd, buf, 0)
			l, ok := from.(*unix.SockaddrLinklayer)
			if err != nil || !ok {
				break // EAGAIN, or an interface that went down
			}
			if names[l.Ifindex] == "" {
				names[l.Ifindex] = nameOf(l.Ifindex)
			}
			w.add(frame{
				Interface: names[l.Ifindex], Data: buf[:n], Protocol: bigEndian(l.Protocol),
				Out: l.Pkttype == unix.PACKET_OUTGOING, ToAll: l.Pkttype == unix.PACKET_BROADCAST || l.Pkttype == unix.PACKET_MULTICAST,
			})
		}
	}
	return ctx.Err()
}

func nameOf(index int) string {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return "?"
	}
	return l.Attrs().Name
}

// bigEndian changes a number to, or from, the network's order.
func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// route tells by which interface an address is reached, "" if by none.
func (m *Machine) route(a netip.Addr) string {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 {
		return ""
	}
	return nameOf(routes[0].LinkIndex)
}

// filtered is how many packets the kernel has dropped since ever because what answers
// them would leave elsewhere.
func filtered() int {
	b, err := os.ReadFile("/proc/thread-self/net/netstat")
	if err != nil {
		return 0
	}
	var names []string
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if i := slices.Index(names, "IPReversePathFilter"); i >= 0 && i < len(words) && len(names) == len(words) && words[0] == names[0] {
			n, _ := strconv.Atoi(words[i]) // 0 if it is no number
			return n
		}
		names = words
	}
	return 0
}
