package rootless

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestReachable(t *testing.T) {
	many := make([]string, maxRoutes+1)
	for i := range many {
		many[i] = fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)
	}
	tests := map[string]struct{ from, want string }{
		"none":          {"", ""},
		"default":       {"10.1.0.0/16 0.0.0.0/0 10.1.2.0/24", "0.0.0.0/0"},
		"families":      {"::/0 10.1.0.0/16", "::/0 10.1.0.0/16"},
		"halves":        {"0.0.0.0/1 128.0.0.0/1 10.0.0.0/8", "0.0.0.0/1 128.0.0.0/1"},
		"nobody-there":  {"fe80::/64 ff00::/8 224.0.0.0/4 127.0.0.0/8 fd09::/64", "fd09::/64"},
		"link-local-v4": {"169.254.0.0/16", "169.254.0.0/16"},
		"host-bits":     {"10.1.2.3/24", "10.1.2.0/24"},
		"too-many":      {strings.Join(many, " "), "0.0.0.0/0 ::/0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := reachable(prefixes(tt.from)); !slices.Equal(got, prefixes(tt.want)) {
				t.Errorf("%v, want %s", got, tt.want)
			}
		})
	}
}

func prefixes(text string) (out []netip.Prefix) {
	for _, word := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(word))
	}
	return out
}

func TestFree(t *testing.T) {
	two, six := insides4(), insides6()
	tests := map[string]struct {
		own    string
		routes string
		of     []netip.Addr
		want   netip.Addr
	}{
		"nothing":      {"", "", two, two[0]},
		"default":      {"10.0.0.2", "0.0.0.0/0 10.0.0.0/24", two, two[0]},
		"own":          {"192.0.2.2", "0.0.0.0/0 192.0.2.0/24", two, two[1]},
		"own-alone":    {"192.0.2.2", "0.0.0.0/0", two, two[1]},
		"routed":       {"10.0.0.2", "192.0.2.0/24 198.51.100.0/28", two, two[2]},
		"halves":       {"10.0.0.2", "0.0.0.0/1 128.0.0.0/1", two, two[0]},
		"halves-and":   {"192.0.2.2", "0.0.0.0/1 128.0.0.0/1 192.0.2.0/24", two, two[1]},
		"all-are-some": {"", "192.0.0.0/8 198.18.0.0/15 198.51.100.0/24 203.0.0.0/9", two, two[0]},
		"ipv6":         {"2001:db8::2 192.0.2.2", "::/0 2001:db8::/48 192.0.2.0/24", six, six[1]},
		"ipv6-routed":  {"", "::/0 2001:db8::/32", six, six[2]},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := free(tt.of, addrs(strings.Fields(tt.own)...), prefixes(tt.routes)); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestResolvers(t *testing.T) {
	tests := map[string]struct{ conf, want string }{
		"resolved":  {"# comment\nnameserver 127.0.0.53\noptions edns0\n", "[127.0.0.53]"},
		"elsewhere": {"nameserver 192.168.1.1\nnameserver fe80::1%eth0\n", "[]"},
		"mixed":     {"nameserver 9.9.9.9\n nameserver\t::1 \nnameserver 127.0.0.1\nnameserver 127.0.0.1\n", "[::1 127.0.0.1]"},
		"none":      {"search lan\n", "[127.0.0.1 ::1]"},
		"nothing":   {"", "[127.0.0.1 ::1]"},
		"broken":    {"nameserver\nnameserver x\n", "[]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(resolvers([]byte(tt.conf))); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func FuzzResolvers(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\n"))
	f.Add([]byte("nameserver ::ffff:127.0.0.1\nnameserver ::1%lo"))
	f.Fuzz(func(t *testing.T, conf []byte) {
		for _, a := range resolvers(conf) {
			if !a.IsLoopback() || a.Zone() != "" || a.Is4In6() {
				t.Errorf("%v", a)
			}
		}
	})
}
