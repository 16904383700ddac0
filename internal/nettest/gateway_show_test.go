package nettest_test

import (
	"strings"
	"testing"
)

// TestSteerShow does by hand, with the stock tools, what transom steer show
// prints: with it a listener captures, and taken back it leaves nothing.
func TestSteerShow(t *testing.T) {
	for format, tools := range map[string]string{"nft": "nft ip sysctl", "iptables": "iptables ip6tables iptables-restore ip sysctl"} {
		for _, method := range []string{"tproxy", "redirect"} {
			t.Run(format+"-"+method, func(t *testing.T) {
				need(t, strings.Fields(tools)...)
				w := newGatewayWorld(t)
				w.site()
				w.unforwarding()
				own := w.ownService()
				before := w.state(w.Gateway)
				text := w.must(w.Gateway, "transom", "steer", "show", "--interface", "lan0", "--format", format, "--method", method)
				w.wantState("shown", w.Gateway, before)
				file := w.write("steer.sh", text)
				w.must(w.Gateway, "sh", file, "up")
				p := w.start(w.command(w.Gateway, "transom", "listen", "--mode", "transparent", "--upstream-ca", w.authority.file, "--json"))
				w.wantAll(w.Client, 443, captured, seenGateway)
				w.others(w.Client, seenClient)
				own()
				for _, f := range families {
					w.datagram(w.Client, addrPort(f.addr, 443)).want(t, refused, seenAnybody)
				}
				p.stop()
				w.must(w.Gateway, "sh", file, "down")
				w.wantState("taken back", w.Gateway, before)
				w.forwarding()
				w.wantAll(w.Client, 443, direct, seenClient)
			})
		}
	}
}
