//go:build !linux

package platform

import (
	"context"
	"fmt"
	"net"
	"net/netip"
)

// ListenUDP implements Datagrams: there is no TPROXY here.
func (h *here) ListenUDP(context.Context, Socket) (*PacketListener, error) {
	return nil, fmt.Errorf("capture datagrams: %w", ErrUnsupported)
}

// A PacketListener is not to be had on this system.
type PacketListener struct{}

// NewPacketListener fails.
func NewPacketListener(*net.UDPConn) (*PacketListener, error) {
	return nil, fmt.Errorf("capture datagrams: %w", ErrUnsupported)
}

// Addr is the zero address.
func (l *PacketListener) Addr() netip.AddrPort { return netip.AddrPort{} }

// Close does nothing.
func (l *PacketListener) Close() error { return nil }

// Hear fails.
func (l *PacketListener) Hear(func(p []byte, client, dst netip.AddrPort)) error {
	return fmt.Errorf("capture datagrams: %w", ErrUnsupported)
}

// Drain fails.
func (l *PacketListener) Drain(int, func(p []byte, client, dst netip.AddrPort)) error {
	return fmt.Errorf("capture datagrams: %w", ErrUnsupported)
}
