//go:build !linux

package rootless

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"transom/platform"
)

func unsupported() error {
	return fmt.Errorf("capture one program (network namespaces, Linux): %w", platform.ErrUnsupported)
}

// Outside fails.
func Outside() (Network, error) { return Network{}, unsupported() }

// LetGo fails.
func LetGo() error { return unsupported() }

// Guard fails.
func Guard(int, string, []string, func() error) error { return unsupported() }

// Keep fails.
func Keep(int, int, func() error, func(*os.File)) error { return unsupported() }

// A Cgroup can't be made on this system.
type Cgroup struct{ Path string }

// NewCgroup fails.
func NewCgroup() (*Cgroup, error) { return nil, unsupported() }

// Remove does nothing.
func (c *Cgroup) Remove() error { return nil }

// A Namespace can't be made on this system.
type Namespace struct{}

// New fails: this system has no network namespaces.
func New(context.Context, Options) (*Namespace, error) { return nil, unsupported() }

// Start fails.
func (n *Namespace) Start(Program) error { return unsupported() }

// Wait fails.
func (n *Namespace) Wait() (End, error) { return End{}, unsupported() }

// Signals returns nil.
func (n *Namespace) Signals() <-chan os.Signal { return nil }

// Answer fails.
func (n *Namespace) Answer(context.Context, netip.AddrPort, netip.AddrPort) (*net.UDPConn, error) {
	return nil, unsupported()
}

// Refuse fails.
func (n *Namespace) Refuse(netip.AddrPort, netip.AddrPort) error { return unsupported() }

// UDP returns nil.
func (n *Namespace) UDP() *platform.PacketListener { return nil }

// Host returns base.
func (n *Namespace) Host(base platform.Host) platform.Host { return base }

// Close does nothing.
func (n *Namespace) Close() error { return nil }
