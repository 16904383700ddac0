//go:build !linux

package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"

	"transom/platform"
)

func unsupported() error {
	return fmt.Errorf("private networks (network namespaces, Linux): %w", platform.ErrUnsupported)
}

// Reexec fails: this system has no network namespaces.
func Reexec() (done bool, code int, err error) { return false, 0, unsupported() }

// A Lab can't be made on this system.
type Lab struct{}

// New fails: this system has no network namespaces.
func New() (*Lab, error) { return nil, unsupported() }

// Close does nothing.
func (l *Lab) Close() error { return nil }

// Connect fails.
func (l *Lab) Connect(a, b End) error { return unsupported() }

// A Host can't be made on this system.
type Host struct{}

// Host fails.
func (l *Lab) Host(name string) (*Host, error) { return nil, unsupported() }

// Name returns "".
func (h *Host) Name() string { return "" }

// IPv6 returns false.
func (h *Host) IPv6() bool { return false }

// Do fails without calling f.
func (h *Host) Do(f func() error) error { return unsupported() }

// Listen fails.
func (h *Host) Listen(context.Context, netip.AddrPort) (net.Listener, error) {
	return nil, unsupported()
}

// Dial fails.
func (h *Host) Dial(context.Context, netip.AddrPort) (net.Conn, error) { return nil, unsupported() }

// DialWith fails.
func (h *Host) DialWith(context.Context, *net.Dialer, netip.AddrPort) (net.Conn, error) {
	return nil, unsupported()
}

// Platform fails.
func (h *Host) Platform(*slog.Logger) (platform.Host, error) { return nil, unsupported() }

// Sysctl fails.
func (h *Host) Sysctl(key, value string) error { return unsupported() }

// Forward fails.
func (h *Host) Forward() error { return unsupported() }

// AddAddr fails.
func (h *Host) AddAddr(iface string, p netip.Prefix) error { return unsupported() }

// DelAddr fails.
func (h *Host) DelAddr(iface string, p netip.Prefix) error { return unsupported() }

// Route fails.
func (h *Host) Route(dst netip.Prefix, via netip.Addr) error { return unsupported() }

// Divert fails.
func (h *Host) Divert(mark, mask uint32, table int) error { return unsupported() }

// A Cmd is a program to run on a host.
type Cmd struct{ *exec.Cmd }

// Command returns a program that Start refuses to run.
func (h *Host) Command(ctx context.Context, name string, args ...string) *Cmd {
	c := exec.CommandContext(ctx, name, args...)
	c.Err = unsupported()
	return &Cmd{c}
}
