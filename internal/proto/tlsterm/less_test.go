package tlsterm_test

import (
	"strings"
	"testing"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

// TestServerWantsASuiteOfTheClient: the server refuses what is offered, and the
// client might have suited it.
func TestServerWantsASuiteOfTheClient(t *testing.T) {
	const dhe, grease, scsv = 0x009e, 0x4a4a, 0x00ff
	for name, tc := range map[string]struct {
		more []uint16
		less bool
	}{
		"has-no-other": {[]uint16{grease, scsv}, false},
		"has-another":  {[]uint16{dhe}, true},
	} {
		t.Run(name, func(t *testing.T) {
			hello := *sniff.Stream(realHello(t)).Hello
			hello.CipherSuites = append([]uint16{0x1301, 0xc02f}, tc.more...)
			up, server := testnet.Pipe(clientAddr, serverAddr)
			defer up.Close()
			done := make(chan error)
			go func() {
				peek(t, server)
				done <- tlsterm.SendAlert(server, &hello, tlsterm.HandshakeFailure)
				server.Close()
			}()
			_, _, err := tlsterm.Connect(t.Context(), up, &hello, tlsterm.ConnectOptions{})
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got := tlsterm.Reason(err); strings.Contains(got, "of the client's cipher suites") != tc.less {
				t.Errorf("reason %q", got)
			}
		})
	}
}
