package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"transom/flow"
	"transom/policy"
)

func patterns(t *testing.T, texts ...string) []*policy.Pattern {
	t.Helper()
	var ps []*policy.Pattern
	for _, text := range texts {
		p, err := policy.CompilePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func TestHosts(t *testing.T) {
	v4 := &flow.Conn{Dst: netip.MustParseAddrPort("203.0.113.7:443")}
	v6 := &flow.Conn{Dst: netip.MustParseAddrPort("[2001:db8::7]:443")}
	udp := &flow.Conn{Network: "udp", Dst: netip.MustParseAddrPort("203.0.113.7:53")}
	sni := func(c *flow.Conn, name string) *flow.Conn {
		return c.With(flow.Layer{Proto: "tls", Host: name, TLS: &flow.TLS{ServerName: name}})
	}
	host := func(c *flow.Conn, name string) *flow.Conn {
		return c.With(flow.Layer{Proto: "http/1.1", Host: name})
	}
	for name, c := range map[string]struct {
		ignore, allow, tcp string
		conn               *flow.Conn
		want               policy.Action
	}{
		"no-rules":              {conn: v4, want: policy.Inspect},
		"ignore-address":        {ignore: `^203\.0\.113\.7:443$`, conn: v4, want: policy.Pass},
		"ignore-other-port":     {ignore: `^203\.0\.113\.7:80$`, conn: v4, want: policy.Inspect},
		"ignore-v6":             {ignore: `^\[2001:db8::7\]:443$`, conn: v6, want: policy.Pass},
		"ignore-name-at-accept": {ignore: `example\.com`, conn: v4, want: policy.Inspect},
		"ignore-sni":            {ignore: `example\.com`, conn: sni(v4, "WWW.Example.com"), want: policy.Pass},
		"ignore-sni-and-port":   {ignore: `^example\.com:443$`, conn: sni(v4, "example.com"), want: policy.Pass},
		"ignore-host-field":     {ignore: `^example\.com:443$`, conn: host(v4, "example.com:8443"), want: policy.Pass},
		"all-but":               {ignore: `^(?!example\.com:)`, conn: sni(v4, "example.com"), want: policy.Pass},
		"all-but-at-accept":     {ignore: `^(?!203\.)`, conn: v4, want: policy.Inspect},
		"allow-undecided":       {allow: `example\.com`, conn: v4, want: policy.Inspect},
		"allow-sni":             {allow: `example\.com`, conn: sni(v4, "example.com"), want: policy.Inspect},
		"allow-other":           {allow: `example\.com`, conn: sni(v4, "other.test"), want: policy.Pass},
		"allow-no-name":         {allow: `example\.com`, conn: sni(v4, ""), want: policy.Pass},
		"allow-unknown":         {allow: `example\.com`, conn: v4.With(flow.Layer{}), want: policy.Pass},
		"both":                  {allow: `example\.com`, ignore: `^a\.`, conn: sni(v4, "a.example.com"), want: policy.Pass},
		"tcp-sni":               {tcp: `^example\.com$`, conn: sni(v4, "example.com"), want: policy.Record},
		"tcp-address":           {tcp: `^203\.0\.113\.7$`, conn: v4, want: policy.Record},
		"tcp-is-not-udp":        {tcp: `.`, conn: udp, want: policy.Inspect},
		"ignore-udp":            {ignore: `^203\.0\.113\.7:53$`, conn: udp, want: policy.Pass},
		"allow-other-udp":       {allow: `example\.com`, conn: udp.With(flow.Layer{Proto: "dns"}), want: policy.Pass},
		"ignore-before-tcp":     {tcp: `.`, ignore: `.`, conn: v4, want: policy.Pass},
	} {
		t.Run(name, func(t *testing.T) {
			h := &policy.Hosts{}
			if c.ignore != "" {
				h.Ignore = patterns(t, c.ignore)
			}
			if c.allow != "" {
				h.Allow = patterns(t, c.allow)
			}
			if c.tcp != "" {
				h.TCP = patterns(t, c.tcp)
			}
			got := h.Decide(c.conn)
			if got.Action != c.want {
				t.Errorf("got %v (%s), want %v", got.Action, got.Reason, c.want)
			}
			if (got.Reason == "") != (got.Action == policy.Inspect) {
				t.Errorf("%v has reason %q", got.Action, got.Reason)
			}
		})
	}
}

func TestPatternErrors(t *testing.T) {
	_, err := policy.CompilePattern(`ex(ample`)
	if err == nil || !strings.Contains(err.Error(), `"ex(ample"`) {
		t.Errorf("error %v does not name the pattern", err)
	}
}

func TestDecideAllocates(t *testing.T) {
	h := &policy.Hosts{}
	c := &flow.Conn{Dst: netip.MustParseAddrPort("203.0.113.7:443")}
	if n := testing.AllocsPerRun(100, func() { h.Decide(c) }); n != 0 {
		t.Errorf("%v allocations without rules, want 0", n)
	}
}
