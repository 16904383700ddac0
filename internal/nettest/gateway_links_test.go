package nettest_test

import (
	"strings"
	"testing"
)

// TestGatewayLinks takes interfaces away that are captured at, and their names: it is
// said, and when they are back they are captured at again.
func TestGatewayLinks(t *testing.T) {
	need(t, "ip")
	for _, backend := range []string{"nft", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			if backend == "iptables" {
				need(t, "iptables", "ip6tables")
			}
			w := newGatewayWorld(t)
			w.site()
			add := "ip link add lan5 type bridge; ip address add 192.168.5.1/24 dev lan5; ip link set lan5 up"
			w.must(w.Gateway, "sh", "-euc", add)
			g := w.gateway("--interface", "lan0,lan5", "--backend", backend)
			rename := func(from, to string) {
				w.must(w.Gateway, "sh", "-euc", "ip link set "+from+" down; ip link set "+from+" name "+to+"; ip link set "+to+" up")
			}
			says := func(what string) {
				t.Helper()
				eventually(t, what, func() bool { return strings.Contains(g.log.String(), what) })
			}
			w.from("192.168.1.2", families[0].addr, 443).want(t, captured, seenAnybody)
			rename("lan0", "uplink")
			says("lan0 has another name now")
			says("name=uplink")
			rename("uplink", "lan0")
			says("lan0 is there again")
			w.from("192.168.1.2", families[0].addr, 443).want(t, captured, seenAnybody)
			w.must(w.Gateway, "ip", "link", "del", "lan5")
			says("lan5 is gone")
			w.must(w.Gateway, "sh", "-euc", add)
			says("lan5 is there again")
			g.stop()
			if n := strings.Count(g.log.String(), "is there again"); n != 2 {
				t.Errorf("it is said %d times that one is there again", n)
			}
		})
	}
}
