package nettest_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// TestRunOwnAddress has a program reach a service of the machine's own, by an address
// that programs have inside where the machine doesn't.
func TestRunOwnAddress(t *testing.T) {
	need(t, "curl", "ip")
	for _, address := range []string{"192.0.2.2", "2001:db8::2", "fd74:7261:6e73::2"} {
		t.Run(address, func(t *testing.T) {
			r := newRunner(t)
			at := netip.AddrPortFrom(netip.MustParseAddr(address), 8955)
			r.must(r.Client, "ip", "addr", "add", netip.PrefixFrom(at.Addr(), at.Addr().BitLen()).String(), "dev", "lo", "nodad")
			l, err := r.Client.Listen(r.ctx, at)
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintln(rw, "own") })}
			t.Cleanup(func() { s.Close() })
			go func() { _ = s.Serve(l) }() // until Close
			if stdout, stderr, code := r.run("--", "curl", "-sS", "http://"+at.String()); code != 0 || stdout != "own\n" || !strings.Contains(stderr, at.String()) {
				t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
}
