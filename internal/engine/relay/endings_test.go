package relay_test

import (
	"io"
	"net/netip"
	"testing"
	"testing/synctest"

	"transom/internal/engine/relay"
	"transom/internal/testnet"
)

// TestClientThatHasLeftIsNotReset: it has its answer, and ends its side; that
// the server's connection is then closed under whoever reads it is our doing.
func TestClientThatHasLeftIsNotReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
		client, near := testnet.Pipe(a, b)
		far, server := testnet.Pipe(a, b)
		done := make(chan relay.Result, 1)
		go func() {
			done <- (&relay.Relay{}).Endings(t.Context(), relay.Side{Conn: near}, relay.Side{Conn: far})
		}()
		synctest.Wait()
		client.CloseWrite()
		<-done
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client's connection ended with %v, want a FIN", err)
		}
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the server's connection ended with %v, want a FIN", err)
		}
	})
}
