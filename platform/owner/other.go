//go:build !linux

package owner

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"transom/flow"
	"transom/platform"
)

func unsupported() error {
	return fmt.Errorf("look for a socket's process (Linux): %w", platform.ErrUnsupported)
}

// Options say how who looks is started.
type Options struct {
	Log          *slog.Logger
	UID, GID     int
	Capabilities []uintptr
	Here         func(netip.Addr) bool
	Program      string
	Args         []string
}

// A Client can't be had on this system.
type Client struct{}

// Start fails.
func Start(Charter, Options) (*Client, error) { return nil, unsupported() }

// Connect fails.
func Connect(Charter, func(netip.Addr) bool) (*Client, *os.File, error) {
	return nil, nil, unsupported()
}

// Here reports false.
func (c *Client) Here(netip.Addr) bool { return false }

// Ask finds nobody.
func (c *Client) Ask(_ string, _, _ netip.AddrPort, to func(*flow.Process)) { to(nil) }

// Close does nothing.
func (c *Client) Close() error { return nil }

// Serve fails.
func Serve(func() error) error { return unsupported() }

// ServeOn fails.
func ServeOn(*os.File) error { return unsupported() }
