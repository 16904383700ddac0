package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"transom"
	"transom/platform"
	"transom/platform/steer"
)

// TestRefuseByPF: what isn't there is refused by the name of its option, on the systems
// that have pf; the rest is let through.
func TestRefuseByPF(t *testing.T) {
	for _, tt := range []struct {
		args    []string
		system  string
		refused string // a word of it, "" if it is not
	}{
		{nil, "darwin", ""},
		{[]string{"--from", "192.168.1.0/24", "--exclude", "192.168.1.7", "--ports", "all", "--quic", "pass", "--on-dead", "closed", "-p", "8081"}, "openbsd", ""},
		{[]string{"--backend", "pf", "--spoof-source", "none", "--udp-ports", "none", "--method", "auto"}, "freebsd", ""},
		{[]string{"--method", "redirect"}, "darwin", ""},
		{[]string{"--method", "redirect"}, "openbsd", "divert-to"},
		{[]string{"--method", "tproxy"}, "freebsd", "rdr"},
		{[]string{"--method", "redirect", "--backend", "ipfw"}, "freebsd", "fwd"},
		{[]string{"--local", "-p", "9000"}, "darwin", "http://127.0.0.1:9000"},
		{[]string{"--udp-ports", "53"}, "openbsd", "UDP"},
		{[]string{"--spoof-source", "ip"}, "freebsd", "transom listen"},
		{[]string{"--spoof-source-address"}, "openbsd", "transom listen"},
		{[]string{"--mark", "0x70"}, "darwin", "marks"},
	} {
		f := &gatewayFlags{}
		fl := pflag.NewFlagSet("gateway", pflag.ContinueOnError)
		f.add(fl)
		if err := fl.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		err := f.refuseByPF(tt.system)
		switch {
		case (err != nil) != (tt.refused != ""):
			t.Errorf("%s on %s: %v", tt.args, tt.system, err)
		case err != nil && (!strings.Contains(err.Error(), tt.refused) || !strings.HasPrefix(tt.args[0], strings.SplitN(err.Error(), " ", 2)[0][:6])):
			t.Errorf("%s on %s: %v", tt.args, tt.system, err)
		}
	}
}

// TestPFListeners: where rdr brings connections one listener has them all; divert-to finds
// one by its address, and the page is at the interfaces' own. The helper may be
// asked about these alone, and only where root alone gets an answer.
func TestPFListeners(t *testing.T) {
	links := []steer.Link{
		{Name: "em0", Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.5/24")}},
		{Name: "em1", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.1/24"), netip.MustParsePrefix("2001:db8::1/64")}},
	}
	p := &transom.Proxy{Steering: platform.Steering{Method: platform.Redirect, Port: 8080, Interfaces: []string{"em1"}}}
	for system, want := range map[string]string{
		"darwin":  "[[::]:8080]",
		"freebsd": "[[::]:8080]",
		"openbsd": "[127.0.0.1:8080 [::1]:8080 192.168.1.1:8080 [2001:db8::1]:8080]",
	} {
		p.Captures = pfCaptures(system, 8080, links, p.Steering.Interfaces)
		c := pfCharter(p, "pf", true)
		if got := fmt.Sprint(c.Lookups); got != want || c.Backend != "pf" || c.Check() != nil {
			t.Errorf("%s: %s, want %s; %+v", system, got, want, c)
		}
		if c := pfCharter(p, "pf", false); c.Lookups != nil || len(c.Listen) > 0 {
			t.Errorf("%s: %+v", system, c)
		}
	}
}
