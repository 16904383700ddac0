package steer_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// outward gives a router default routes, by wan0.
func outward(w *router) {
	w.Helper()
	for dst, via := range map[string]string{"0.0.0.0/0": lab.ServerAddr4, "::/0": lab.ServerAddr6} {
		if err := w.Gateway.Route(netip.MustParsePrefix(dst), netip.MustParseAddr(via)); err != nil {
			w.Fatal(err)
		}
	}
}

// translated is what Translations finds on a router, in short.
func translated(w *router) (list []string) {
	w.Helper()
	if err := w.Gateway.Do(func() error {
		found, err := steer.Translations(platform.Steering{}, prefixes("192.168.1.0/24", "fd01::/64"))
		for _, f := range found {
			words := []string{f.Where, "IPv4"}
			if f.IPv6 {
				words[1] = "IPv6"
			}
			if !f.Sure {
				words = append(words, "perhaps")
			}
			list = append(list, strings.Join(words, " "))
		}
		return err
	}); err != nil {
		w.Fatal(err)
	}
	return list
}

// chains are a table of nft's with a chain at postrouting, and more.
func chains(family, rules, more string) string {
	return "table " + family + " hide {\n" + more + "\nchain post { type nat hook postrouting priority 100; " + rules + "; }\n}"
}

func TestTranslations(t *testing.T) {
	tool(t, "nft")
	const by4, by6 = "nft table inet hide IPv4", "nft table inet hide IPv6"
	for name, tt := range map[string]struct {
		ruleset string
		want    []string
	}{
		"none":              {"", nil},
		"by-name":           {chains("ip", `oifname "wan0" masquerade`, ""), []string{"nft table ip hide IPv4"}},
		"by-index":          {chains("ip6", `oif wan0 masquerade`, ""), []string{"nft table ip6 hide IPv6"}},
		"snat":              {chains("ip", `ip saddr 192.168.0.0/16 snat to 10.9.0.1`, ""), []string{"nft table ip hide IPv4"}},
		"both":              {chains("inet", `oifname != "lo" masquerade`, ""), []string{by4, by6}},
		"of-its-family":     {chains("inet", `ip saddr 192.168.1.0/24 masquerade`, ""), []string{by4}},
		"by-family":         {chains("inet", `meta nfproto ipv6 masquerade`, ""), []string{by6}},
		"some-of-them":      {chains("inet", `ip saddr 192.168.1.128/25 masquerade`, ""), []string{by4 + " perhaps"}},
		"others":            {chains("inet", `oifname "lan0" masquerade; ip saddr 172.17.0.0/16 oifname != "docker0" masquerade; ip6 saddr fd05::/64 masquerade`, ""), nil},
		"odd-mask":          {chains("inet", `ip saddr 192.168.0.0/20 masquerade; ip6 saddr fd01::/49 masquerade`, ""), []string{by4, by6}},
		"what-came-in":      {chains("inet", `iifname "lan0" masquerade`, ""), nil},
		"udp":               {chains("inet", `meta l4proto udp masquerade`, ""), nil},
		"ports":             {chains("inet", `tcp dport 443 masquerade`, ""), []string{by4 + " perhaps", by6 + " perhaps"}},
		"a-set":             {chains("inet", `oifname { "wan0", "wan1" } masquerade`, ""), []string{by4 + " perhaps", by6 + " perhaps"}},
		"no-way-back":       {chains("inet", `ip saddr 192.168.1.0/24 return; masquerade`, ""), []string{by6}},
		"but-for-some":      {chains("inet", `ip daddr 10.0.0.0/8 accept; ip daddr != 192.168.0.0/16 masquerade`, ""), []string{by4}},
		"by-mark":           {chains("inet", `meta mark & 0x4000 != 0x4000 return; masquerade`, ""), nil},
		"by-our-mark":       {chains("inet", `meta mark & 0x70 == 0x30 masquerade`, ""), []string{by4, by6}},
		"jump":              {chains("inet", `oifname "wan0" jump out`, "chain out { ip saddr 192.168.1.0/24 counter log masquerade; }"), []string{by4}},
		"goto":              {chains("inet", `oifname "wan0" goto out; masquerade`, "chain out { meta nfproto ipv4 masquerade; }"), []string{by4}},
		"jump-that-accepts": {chains("inet", `jump out; masquerade`, "chain out { meta nfproto ipv4 accept; }"), []string{by6}},
		"redirects":         {chains("inet", `accept`, `chain pre { type nat hook prerouting priority 0; dnat ip to 10.0.0.1; }`), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newRouter(t)
			outward(w)
			if tt.ruleset != "" {
				w.run("nft", tt.ruleset)
			}
			if d := cmp.Diff(tt.want, translated(w)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestIPTablesTranslations(t *testing.T) {
	for _, kind := range []string{"nft", "legacy"} {
		four, six := "nft table ip nat IPv4", "nft table ip6 nat IPv6"
		if kind == "legacy" {
			four, six = "iptables-legacy -t nat IPv4", "ip6tables-legacy -t nat IPv6"
		}
		for name, tt := range map[string]struct {
			rules []string
			want  []string
		}{
			"by-interface": {[]string{"-A POSTROUTING -o wan0 -j MASQUERADE"}, []string{four, six}},
			"by-prefix":    {[]string{"-A POSTROUTING -o wan+ -j MASQUERADE"}, []string{four, six}},
			"docker":       {[]string{"-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", "-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE"}, nil},
			"udp":          {[]string{"-A POSTROUTING -p udp -j MASQUERADE", "-A POSTROUTING ! -p tcp -j MASQUERADE"}, nil},
			"by-source":    {[]string{"-A POSTROUTING -s 192.168.1.0/24 ! -d 192.168.0.0/16 -m comment --comment home -j SNAT --to-source 10.9.0.1"}, []string{four}},
			"by-state":     {[]string{"-A POSTROUTING -m conntrack --ctstate NEW -j MASQUERADE"}, []string{four + " perhaps", six + " perhaps"}},
			"kubernetes":   {[]string{"-N KUBE", "-A KUBE -m mark ! --mark 0x4000/0x4000 -j RETURN", "-A KUBE -j MARK --xor-mark 0x4000", "-A KUBE -j MASQUERADE", "-A POSTROUTING -j KUBE"}, nil},
			"chains":       {[]string{"-N EMPTY", "-N OUT", "-A OUT", "-A OUT -j MASQUERADE", "-A POSTROUTING -j EMPTY", "-A POSTROUTING -o lan0 -j ACCEPT", "-A POSTROUTING -o wan0 -g OUT"}, []string{four, six}},
			"accepted":     {[]string{"-A POSTROUTING -o wan0 -j ACCEPT", "-A POSTROUTING -j MASQUERADE"}, nil},
		} {
			t.Run(kind+"-"+name, func(t *testing.T) {
				w := newRouter(t)
				outward(w)
				for _, program := range []string{"iptables", "ip6tables"} {
					for _, r := range tt.rules {
						if program == "ip6tables" && strings.Contains(r, ".0") {
							continue
						}
						program := program + "-" + kind
						tool(t, program)
						w.run(program, append([]string{"-w", "-t", "nat"}, strings.Fields(r)...)...)
					}
				}
				if d := cmp.Diff(tt.want, translated(w)); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
			})
		}
	}
}
