package steer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
)

// patience bounds waits for what has to come.
const patience = time.Minute

// tool finds a program of the system, or skips.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	testnet.Need(t, err == nil, "the program "+name)
	return path
}

// A router is a gateway with a client and a server, and a small transparent
// proxy on the gateway.
type router struct {
	*testing.T
	*lab.Net
	env []string // for the programs
}

func newRouter(t *testing.T) *router { return &router{T: t, Net: labtest.Gateway(t)} }

// run runs a program on the gateway.
func (w *router) run(name string, args ...string) string {
	w.Helper()
	cmd := w.Gateway.Command(w.Context(), name, args...)
	cmd.Env = append(cmd.Environ(), w.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// families are the addresses of the server, the client and the gateway.
func (w *router) families() map[string][3]netip.Addr {
	out := map[string][3]netip.Addr{"v4": three(lab.ServerAddr4, lab.ClientAddr4, lab.LANAddr4)}
	if w.Gateway.IPv6() {
		out["v6"] = three(lab.ServerAddr6, lab.ClientAddr6, lab.LANAddr6)
	}
	return out
}

func three(server, client, lan string) [3]netip.Addr {
	return [3]netip.Addr{netip.MustParseAddr(server), netip.MustParseAddr(client), netip.MustParseAddr(lan)}
}

// serve has a host tell everybody who connects to a port of its where they come
// from.
func (w *router) serve(h *lab.Host, port uint16) {
	w.Helper()
	l, err := h.Listen(w.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		w.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s sees %s", h.Name(), plainAddr(c.RemoteAddr()))
			c.Close()
		}
	}()
	w.Cleanup(func() { l.Close() })
}

func plainAddr(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// proxy runs the proxy: it tells what it was asked for, and what the server
// says.
func (w *router) proxy(s platform.Steering) (stop func()) {
	w.Helper()
	host, err := w.Gateway.Platform(nil)
	if err != nil {
		w.Fatal(err)
	}
	m := s.Marks.OrDefault()
	l, err := host.Listen(w.Context(), platform.Socket{
		Bind: netip.AddrPortFrom(netip.IPv6Unspecified(), s.Port), Transparent: true, Require: true, Mark: m.Client,
	})
	if err != nil {
		w.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, carry(w.Context(), host, c, s))
			c.Close()
		}
	}()
	stop = func() { l.Close(); <-done }
	w.Cleanup(func() { stop(); host.Close() })
	return stop
}

func carry(ctx context.Context, host platform.Host, c net.Conn, s platform.Steering) string {
	dst, via, err := host.OriginalDst(ctx, c)
	if err != nil {
		return err.Error()
	}
	out := platform.Socket{Mark: s.Marks.OrDefault().Upstream, Require: true}
	if s.Spoof && !host.Own(plainAddr(c.RemoteAddr()).Addr()) {
		out.Bind, out.Transparent = plainAddr(c.RemoteAddr()), true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	up, err := host.Dial(ctx, out, dst)
	if err != nil {
		return fmt.Sprintf("%s to %s: %v", via, dst, err)
	}
	defer up.Close()
	said, err := io.ReadAll(up)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s to %s: %s", via, dst, said)
}

// ask connects from a host and returns what it is told, with CLIENT for its own
// address and port.
func (w *router) ask(h *lab.Host, to netip.AddrPort) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	c, err := h.Dial(ctx, to)
	if err != nil {
		return "error: " + errno(err)
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err != nil {
		return "error: " + errno(err)
	}
	return strings.ReplaceAll(string(b), c.LocalAddr().String(), "CLIENT")
}

func errno(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	return err.Error()
}

// udp sends a datagram from the client to the server and tells whether it was
// refused or echoed.
func (w *router) udp(to netip.AddrPort) string {
	w.Helper()
	var c net.Conn
	if err := w.Client.Do(func() (err error) {
		c, err = net.Dial("udp", to.String())
		return err
	}); err != nil {
		w.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "hello")
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err != nil {
		return "error: " + errno(err)
	}
	return string(b[:n])
}

// echo has the server send back datagrams to a port.
func (w *router) echo(port uint16) {
	w.Helper()
	var c net.PacketConn
	if err := w.Server.Do(func() (err error) {
		c, err = net.ListenPacket("udp", fmt.Sprintf("[::]:%d", port))
		return err
	}); err != nil {
		w.Fatal(err)
	}
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
	w.Cleanup(func() { c.Close() })
}

// state is all of the gateway that steering changes, as its own tools tell it.
func (w *router) state() string {
	w.Helper()
	var b strings.Builder
	for _, family := range []string{"-4", "-6"} {
		b.WriteString(w.run("ip", family, "rule"))
		b.WriteString(w.run("ip", family, "route", "show", "table", "all"))
	}
	b.WriteString(w.run("/bin/sh", "-c", "cd /proc/sys/net && grep -rs . ipv4/ip_forward ipv4/conf ipv6/conf | grep -v secret | sort"))
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		for _, table := range []string{"raw", "mangle", "nat", "filter"} {
			b.WriteString(save + " -t " + table + "\n")
			b.WriteString(ofChains(w.run("/bin/sh", "-c", save+" -t "+table)))
		}
	}
	b.WriteString(w.run("nft", "-s", "list", "ruleset", "inet")) // where iptables has nothing
	return b.String()
}

// ofChains orders what iptables-save tells by chains, and drops built-in ones
// that are empty: iptables leaves them behind.
func ofChains(saved string) string {
	var lines []string
	for line := range strings.Lines(saved) {
		if strings.HasPrefix(line, "-A ") || strings.HasPrefix(line, ":") && !strings.Contains(line, " ACCEPT ") {
			lines = append(lines, line)
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int {
		chain := func(line string) string { return strings.Fields(strings.TrimPrefix(line, "-A "))[0] }
		return strings.Compare(chain(a), chain(b))
	})
	counts := regexp.MustCompile(`\[\d+:\d+\]`)
	return counts.ReplaceAllString(strings.Join(lines, ""), "")
}

// cutAfter drops what varies.
func cutAfter(s, word string) string {
	if before, _, ok := strings.Cut(s, word); ok {
		return before + word
	}
	return s
}
