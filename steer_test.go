package transom_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"transom"
	"transom/ca"
	"transom/internal/testnet"
	"transom/platform"
)

// TestSteering sees the host steered once everything listens, drained before
// the listeners close, and put back after the last connection.
func TestSteering(t *testing.T) {
	inWorld(t, func(p *transom.Proxy) {
		p.Steering = platform.Steering{Method: platform.TPROXY, Interfaces: []string{"lan0"}, Spoof: true}
	}, func(w *world) {
		answer := make(chan struct{})
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			if _, err := http.ReadRequest(r); err != nil {
				t.Error(err)
			}
			<-answer
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		})
		c := w.dial(serverAddr)
		w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		synctest.Wait()
		on := `apply tproxy to :8080 from ["lan0"] local false spoof true closed false draining false`
		draining := strings.Replace(on, "draining false", "draining true", 1)
		if got := applied(w.host); !slices.Equal(got, []string{on}) {
			t.Errorf("while it runs: %q", got)
		}
		w.stop()
		synctest.Wait()
		if got := applied(w.host); !slices.Equal(got, []string{on, draining}) {
			t.Errorf("with a connection open: %q", got)
		}
		close(answer)
		w.hearEnd(c)
		synctest.Wait()
		if got := applied(w.host); !slices.Equal(got, []string{on, draining, "apply nothing"}) {
			t.Errorf("when all have ended: %q", got)
		}
	})
}

// TestSteeringRefused ends a run whose host refuses, before it serves anybody.
func TestSteeringRefused(t *testing.T) {
	refused := errors.New("refused")
	host := &testnet.Host{ApplyErr: refused}
	src := testnet.NewSource(proxyAddr)
	p := &transom.Proxy{Host: host, Steering: platform.Steering{Method: platform.Redirect, Local: true}}
	p.Captures = append(p.Captures, src)
	authority, err := ca.New(ca.Options{ECDSA: true, Host: "test"})
	if err != nil {
		t.Fatal(err)
	}
	p.Issuer = authority
	if err := p.Run(t.Context()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func applied(h *testnet.Host) []string {
	return slices.DeleteFunc(h.Calls(), func(line string) bool { return !strings.HasPrefix(line, "apply") })
}
