package egress_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom"
	"transom/ca"
	"transom/capture"
	"transom/flow"
	"transom/internal/testnet/labtest"
	"transom/platform/lab"
	"transom/policy"
)

// transparent puts a whole proxy on the gateway, by TPROXY, and a web server that
// tells its visitors where they come from behind it.
func transparent(t *testing.T, source string, p policy.Policy) *lab.Net {
	t.Helper()
	n := labtest.Gateway(t)
	divert(t, n.Gateway, true)
	l, err := n.Server.Listen(t.Context(), netip.MustParseAddrPort("[::]:80"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) })}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	host, err := n.Gateway.Platform(nil)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := ca.New(ca.Options{ECDSA: true, Host: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	proxy := &transom.Proxy{
		Captures:  []capture.Capture{capture.Redirect{Listen: netip.MustParseAddrPort("[::]:8080"), RequireTransparent: true, Mark: marks.Client}},
		Host:      host,
		Settings:  transom.Settings{Issuer: authority, Policy: p, Spoof: spoof(t, source), Mark: marks.Upstream},
		Listening: func([]net.Addr) error { close(ready); return nil },
		Timeouts:  transom.Timeouts{Grace: time.Millisecond},
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proxy.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		host.Close()
	})
	<-ready
	return n
}

// visit makes a request from one port of the client's, and returns from where
// the server saw it come.
func visit(t *testing.T, n *lab.Net, from, to string, end func(net.Conn)) netip.AddrPort {
	t.Helper()
	d := &net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)),
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			}); e != nil {
				return e
			}
			return err
		},
	}
	c, err := n.Client.DialWith(t.Context(), d, netip.MustParseAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	end(c)
	return netip.MustParseAddrPort(string(body))
}

// passAll decrypts and reads nothing.
type passAll struct{}

func (passAll) Decide(*flow.Conn) policy.Verdict {
	return policy.Verdict{Action: policy.Pass, Reason: "test"}
}

// TestClientReusesItsPort at once: it still gets through, both legs having the
// same ends, and to an end that its server's kernel keeps in mind.
func TestClientReusesItsPort(t *testing.T) {
	ends := map[string]func(net.Conn){"fin": fin, "rst": rst}
	policies := map[string]policy.Policy{"inspected": &policy.Hosts{}, "passed": passAll{}}
	for _, stamps := range []string{"1", "0"} {
		for how, end := range ends {
			for name, p := range policies {
				t.Run(how+"-"+name+"-timestamps-"+stamps, func(t *testing.T) {
					n := transparent(t, "ip+port", p)
					if err := n.Server.Sysctl("net.ipv4.tcp_timestamps", stamps); err != nil {
						t.Fatal(err)
					}
					for _, a := range [][2]string{{phone4, server4}, {phone6, server6}} {
						client := netip.MustParseAddrPort(a[0])
						for i := range 5 {
							seen := visit(t, n, a[0], a[1], end)
							if seen.Addr() != client.Addr() || i == 0 && seen != client {
								t.Errorf("visit %d comes from %s", i, seen)
							}
						}
					}
				})
			}
		}
	}
}
