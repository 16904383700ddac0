package lab_test

import (
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform/lab"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestGatewayForwards(t *testing.T) {
	n := labtest.Gateway(t)
	for name, server := range map[string]string{"v4": lab.ServerAddr4, "v6": lab.ServerAddr6} {
		t.Run(name, func(t *testing.T) {
			l, err := n.Server.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(server), 80))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, c.RemoteAddr().String())
				c.Close()
			}()
			c, err := n.Client.Dial(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			b, err := io.ReadAll(c)
			if err != nil || string(b) != c.LocalAddr().String() {
				t.Fatalf("the server saw %q, %v; want the client, %s", b, err, c.LocalAddr())
			}
		})
	}
}

func TestCommandRunsInside(t *testing.T) {
	n := labtest.Gateway(t)
	b, err := n.Client.Command(t.Context(), "/bin/cat", "/proc/net/dev").Output()
	if err != nil || !strings.Contains(string(b), "eth0:") {
		t.Fatalf("interfaces seen inside: %q, %v", b, err)
	}
	ours, err := os.ReadFile("/proc/thread-self/net/dev")
	if err != nil || strings.Contains(string(ours), "lan0") {
		t.Fatalf("interfaces seen outside: %q, %v", ours, err)
	}
}
