package upstream_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"transom/egress"
	"transom/internal/engine/upstream"
	"transom/internal/testnet"
)

// TestResetOfADial: the server may have accepted what is still being dialled.
func TestResetOfADial(t *testing.T) {
	server, ours := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.2:1"))
	dialed := make(chan struct{})
	s := upstream.Dial(t.Context(), &upstream.Config{Dialer: dialer(func() net.Conn {
		<-dialed
		return ours
	})}, egress.Target{})
	s.Reset()
	close(dialed)
	s.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server saw %v", err)
	}
}

type dialer func() net.Conn

// Dial implements egress.Dialer.
func (d dialer) Dial(context.Context, egress.Target) (net.Conn, error) { return d(), nil }
