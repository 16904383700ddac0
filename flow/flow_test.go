package flow_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"transom/flow"
)

func TestIDsSortByTime(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var ids []string
	for i := range 1000 {
		ids = append(ids, flow.NewID(start.Add(time.Duration(i)*time.Microsecond)).String())
	}
	if !slices.IsSorted(ids) {
		t.Error("IDs made one microsecond apart do not sort by time")
	}
	if id := ids[0]; id[14] != '7' || !slices.Contains([]byte("89ab"), id[19]) {
		t.Errorf("%s is no UUID of version 7", id)
	}
}

func TestIDText(t *testing.T) {
	id := flow.NewID(time.Now())
	back, err := flow.ParseID(id.String())
	if err != nil || back != id {
		t.Errorf("%v read back as %v, %v", id, back, err)
	}
	for _, bad := range []string{"", "x", "0192f0c0-1111-7222-8333-44445555666", "0192f0c0-1111-7222-8333-44445555666g", "0192f0c0x1111-7222-8333-444455556666"} {
		if _, err := flow.ParseID(bad); err == nil {
			t.Errorf("%q was read as an ID", bad)
		}
	}
}

func TestHeader(t *testing.T) {
	base := flow.Header{{Name: "hOst", Value: "a"}, {Name: "X-A", Value: "1", Form: flow.FormNeverIndexed}, {Name: "x-a", Value: "2"}}
	for name, c := range map[string]struct {
		change func(h *flow.Header)
		want   flow.Header
	}{
		"set-keeps-place-and-case": {
			func(h *flow.Header) { h.Set("HOST", "b") },
			flow.Header{{Name: "hOst", Value: "b"}, base[1], base[2]},
		},
		"set-drops-the-others": {
			func(h *flow.Header) { h.Set("x-A", "3") },
			flow.Header{base[0], {Name: "X-A", Value: "3"}},
		},
		"set-adds": {
			func(h *flow.Header) { h.Set("New", "n") },
			flow.Header{base[0], base[1], base[2], {Name: "New", Value: "n"}},
		},
		"add": {
			func(h *flow.Header) { h.Add("x-a", "3") },
			flow.Header{base[0], base[1], base[2], {Name: "x-a", Value: "3"}},
		},
		"del":      {func(h *flow.Header) { h.Del("X-a") }, flow.Header{base[0]}},
		"del-none": {func(h *flow.Header) { h.Del("y") }, base},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(base)
			h := base
			c.change(&h)
			if d := cmp.Diff(c.want, h); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(before, base); d != "" {
				t.Error("the shared header changed:", d)
			}
		})
	}
}

func TestHeaderTokens(t *testing.T) {
	h := flow.Header{{Name: "Connection", Value: "keep-alive , Upgrade"}, {Name: "connection", Value: "\tclose"}}
	for token, want := range map[string]bool{"upgrade": true, "Close": true, "keep-alive": true, "keep": false, "": false} {
		if got := h.HasToken("CONNECTION", token); got != want {
			t.Errorf("token %q: %v", token, got)
		}
	}
}

// TestEqualIgnoresForm: how HPACK wrote a field says nothing about its meaning.
func TestEqualIgnoresForm(t *testing.T) {
	a := flow.Header{{Name: "a", Value: "1", Form: flow.FormIndexed}}
	b := flow.Header{{Name: "a", Value: "1"}}
	if !a.Equal(b) {
		t.Error("a form made two headers differ")
	}
	if a.Equal(flow.Header{{Name: "A", Value: "1"}}) {
		t.Error("the case of a name is part of what is sent")
	}
}

func TestHeadEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.Custom(func(t *rapid.T) flow.Field {
			return flow.Field{Name: rapid.SampledFrom([]string{"a", "A", "b"}).Draw(t, "name"), Value: rapid.SampledFrom([]string{"", "1"}).Draw(t, "value")}
		})
		head := func(label string) flow.RequestHead {
			return flow.RequestHead{
				Method: rapid.SampledFrom([]string{"GET", "PUT"}).Draw(t, label), Target: rapid.SampledFrom([]string{"/", "/a"}).Draw(t, label),
				Header: rapid.SliceOfN(field, 0, 3).Draw(t, label), Raw: []byte(label),
			}
		}
		a, b := head("a"), head("b")
		x, y := a, b
		x.Raw, y.Raw = nil, nil
		if got, want := a.Equal(&b), cmp.Equal(x, y, cmp.Transformer("nil", func(h flow.Header) []flow.Field { return append([]flow.Field{}, h...) })); got != want {
			t.Fatalf("Equal is %v, want %v:\n%v\n%v", got, want, a, b)
		}
	})
}

func TestConnGrowsByCopies(t *testing.T) {
	c := &flow.Conn{Dst: netip.MustParseAddrPort("203.0.113.7:443")}
	a := c.With(flow.Layer{Proto: "tls", Host: "a.test", TLS: &flow.TLS{}})
	x, y := a.With(flow.Layer{Proto: "x"}), a.With(flow.Layer{Proto: "http/1.1", Host: "y.test"})
	if len(c.Layers) != 0 || len(a.Layers) != 1 || x.Last().Proto != "x" || y.Last().Proto != "http/1.1" {
		t.Errorf("layers leaked: %v %v %v %v", c.Layers, a.Layers, x.Layers, y.Layers)
	}
	for _, v := range []struct {
		c    *flow.Conn
		want string
	}{{c, "203.0.113.7"}, {a, "a.test"}, {x, "a.test"}, {y, "y.test"}, {&flow.Conn{}, ""}, {&flow.Conn{Host: "h"}, "h"}} {
		if got := v.c.Name(); got != v.want {
			t.Errorf("name %q, want %q", got, v.want)
		}
	}
}

func TestDiffers(t *testing.T) {
	client := flow.TLS{
		Version: 0x304, CipherSuite: 0x1301, Protocol: "h2", ServerName: "a.test.", ALPN: []string{"h2", "http/1.1"}, JA3: "x", JA4: "y",
	}
	with := func(change func(s *flow.TLS)) *flow.Conn {
		server := client
		change(&server)
		c := &flow.Conn{Layers: []flow.Layer{{TLS: &client}}}
		return c.WithServer(&flow.Leg{TLS: &server})
	}
	for name, v := range map[string]struct {
		c    *flow.Conn
		want string
	}{
		"nothing":     {with(func(*flow.TLS) {}), ""},
		"all":         {with(func(s *flow.TLS) { *s = flow.TLS{Version: 1, CipherSuite: 1, Protocol: "a", JA3: "a", JA4: "a"} }), "version cipher alpn sni offered ja3 ja4"},
		"name":        {with(func(s *flow.TLS) { s.ServerName = "a.test" }), "sni"},
		"no-name":     {with(func(s *flow.TLS) { s.ServerName = "" }), "sni"},
		"order":       {with(func(s *flow.TLS) { s.ALPN = []string{"http/1.1", "h2"} }), "offered"},
		"fingerprint": {with(func(s *flow.TLS) { s.JA3, s.JA4 = "v", "w" }), "ja3 ja4"},
		"not-known":   {with(func(s *flow.TLS) { *s = flow.TLS{} }), ""},
		"no-server":   {&flow.Conn{Layers: []flow.Layer{{TLS: &client}}}, ""},
		"no-client":   {&flow.Conn{Server: &flow.Leg{TLS: &client}}, ""},
		"no-tls":      {&flow.Conn{Server: &flow.Leg{}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := strings.Join(v.c.Differs(nil), " "); got != v.want {
				t.Errorf("differs in %q, want %q", got, v.want)
			}
		})
	}
}

func TestType(t *testing.T) {
	for want, d := range map[string]flow.Detail{
		"http": &flow.HTTP{}, "tcp": &flow.Messages{Kind: "tcp"}, "tls": &flow.Connection{Type: "tls"}, "conn": &flow.Connection{},
	} {
		if got := (&flow.Flow{Detail: d}).Type(); got != want {
			t.Errorf("%T is %q, want %q", d, got, want)
		}
	}
}

func TestFingerprints(t *testing.T) {
	c := (&flow.Conn{}).With(flow.Layer{Proto: "tls"}).With(flow.Layer{Proto: "h2"}).H2("1:1|00|0|m").WithServer(&flow.Leg{H2: "2:0|00|0|m"})
	if client, server := c.Fingerprints(); client != "1:1|00|0|m" || server != "2:0|00|0|m" {
		t.Errorf("client %q, server %q", client, server)
	}
}
