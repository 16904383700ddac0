package nettest_test

import (
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"transom/platform/lab"
)

// TestNetworks sets up the networks that docs/access-point.md and docs/machines.md
// have for devices and guests, word for word but for the way out, and captures
// there. The world outside knows no way back to private addresses.
func TestNetworks(t *testing.T) {
	for _, n := range []struct {
		page, up, down string
		own            string // the interface that devices are behind
		before, after  string // the pages' commands, where namespaces lack a radio or a guest
		net4, net6     string
	}{
		{"access-point.md", "up", "down", "wlan0", "ip address flush dev wlan0 scope global", "", "192.168.7.", "fd07::"},
		{"machines.md", "bridge", "bridge-undo", "br7", "ip address flush dev port7", "ip link set br7 type bridge forward_delay 0; ip link set port7 master br7", "192.168.7.", "fd07::"},
	} {
		t.Run(n.own, func(t *testing.T) {
			need(t, "curl")
			w := newGatewayWorld(t)
			text := recipes(t, n.page, n.up, n.down)
			origin := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.RemoteAddr) })
			w.serve(origin)
			w.serveOn(w.listen(8000), origin)
			w.must(w.Server, "ip", "route", "delete", "default")
			port := strings.Replace(n.own, "br7", "port7", 1)
			device := w.addHost("device", port, n.net4, n.net6)
			before := w.must(w.Gateway, "nft", "list", "ruleset")

			w.must(w.Gateway, "sh", "-euc", n.before)
			w.must(w.Gateway, "sh", "-euc", strings.ReplaceAll(text[n.up], `"eth0"`, `"wan0"`))
			w.must(w.Gateway, "sh", "-euc", n.after)
			eventually(t, "the network to carry", func() bool { return w.ping(device, netip.MustParseAddr(lab.ServerAddr4)) == nil })

			g := w.startGateway(w.command(w.Gateway, "transom", "gateway", "--interface", n.own, "--upstream-ca", w.authority.file, "--ca-dir", w.path("ca"), "--json"))
			if got := w.must(device, "curl", "-sS", "--cacert", g.trusts(), "https://"+families[0].host+"/"); !strings.HasPrefix(got, lab.WANAddr4+":") {
				t.Errorf("the server was reached from %s", got)
			}
			if got := w.must(device, "curl", "-sS", "http://"+families[0].host+":8000/"); !strings.HasPrefix(got, lab.WANAddr4+":") {
				t.Errorf("what is not captured came from %s", got)
			}
			g.stop()
			if !strings.Contains(g.out.String(), `"https://`) {
				t.Errorf("not captured:\n%s", g.out.String())
			}
			w.must(w.Gateway, "sh", "-euc", text[n.down])
			if after := w.must(w.Gateway, "nft", "list", "ruleset"); after != before {
				t.Errorf("rules before:\n%s\nand afterwards:\n%s", before, after)
			}
			if left := w.must(w.Gateway, "ip", "-br", "-4", "address"); strings.Contains(left, n.net4) {
				t.Errorf("addresses are left:\n%s", left)
			}
		})
	}
}
