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

// TestSteerShowFinds has the interfaces found that gateway finds, if none is named.
func TestSteerShowFinds(t *testing.T) {
	need(t, "ip")
	w := newGatewayWorld(t)
	w.must(w.Gateway, "ip", "route", "add", "default", "via", families[0].addr)
	for _, args := range [][]string{{}, {"--local"}, {"--format", "iptables", "--method", "redirect"}} {
		show := append([]string{"steer", "show"}, args...)
		var said strings.Builder
		cmd := w.Gateway.Command(w.ctx, find("transom"), show...)
		cmd.Stderr = &said
		got, err := cmd.Output()
		if want := w.must(w.Gateway, "transom", append(show, "--interface", "lan0")...); err != nil || string(got) != want {
			t.Errorf("%q: %v, and it prints\n%s\nwant\n%s", args, err, got, want)
		}
		if want := "transom: not captured: what comes in by wan0 (the way out); --interface says otherwise\n"; said.String() != want {
			t.Errorf("%q: it says %q, want %q", args, &said, want)
		}
	}
	lonely, err := w.Host("lonely")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w.must(lonely, "transom", "steer", "show", "--local"), w.must(lonely, "transom", "steer", "show", "--local", "--interface", "none"); got != want {
		t.Errorf("where no client is, it prints\n%s\nwant\n%s", got, want)
	}
}
