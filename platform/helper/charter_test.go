package helper

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"transom/platform"
)

func TestSources(t *testing.T) {
	c := Charter{
		Sources: []netip.Prefix{
			netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64"),
			netip.MustParsePrefix("198.51.100.1/32"), netip.MustParsePrefix("2001:db8:1::1/128"),
		},
		SourcePort: true,
	}
	ours := []string{"192.0.2.1", "2001:db8::1", "198.51.100.1", "2001:db8:1::1"}
	own := func(a netip.Addr) bool {
		for _, s := range ours {
			if netip.MustParseAddr(s) == a {
				return true
			}
		}
		return false
	}
	for a, want := range map[string]string{ // "" is allowed
		"192.0.2.7:0":          "",
		"192.0.2.7:80":         "",
		"[::ffff:192.0.2.7]:0": "",
		"[2001:db8::7]:0":      "",
		"192.0.2.1:0":          "this host's own",
		"[2001:db8::1]:0":      "this host's own",
		"198.51.100.1:0":       "", // named by itself
		"[2001:db8:1::1]:0":    "",
		"198.51.100.2:0":       "192.0.2.0/24, 2001:db8::/64, 198.51.100.1/32",
	} {
		err := c.allowsSource(netip.MustParseAddrPort(a), own)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", a, err)
		case want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", a, err, want)
		}
	}
	c.SourcePort = false
	if err := c.allowsSource(netip.MustParseAddrPort("192.0.2.7:80"), own); !errors.Is(err, ErrRefused) {
		t.Errorf("a port: %v", err)
	}
}

// TestEveryClient has a charter for whoever comes: still none that is no client.
func TestEveryClient(t *testing.T) {
	c := Charter{Sources: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	for _, a := range []string{"0.0.0.0:0", "127.0.0.1:0", "[::]:0", "[::1]:0", "224.0.0.1:0", "255.255.255.255:0", "169.254.1.1:0", "[fe80::1]:0", "[ff02::1]:0", "[::ffff:127.0.0.1]:0"} {
		if err := c.allowsSource(netip.MustParseAddrPort(a), func(netip.Addr) bool { return false }); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", a, err)
		}
	}
	if err := c.allowsSource(netip.AddrPort{}, func(netip.Addr) bool { return false }); !errors.Is(err, ErrRefused) {
		t.Errorf("no address: %v", err)
	}
}

func TestCharterCheck(t *testing.T) {
	for name, c := range map[string]Charter{
		"steering": {Steering: platform.Steering{Local: true}},
		"listener": {Listen: []netip.AddrPort{{}}},
		"zone":     {Listen: []netip.AddrPort{netip.MustParseAddrPort("[fe80::1%lan0]:80")}},
		"source":   {Sources: []netip.Prefix{{}}},
		"mapped":   {Sources: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:192.0.2.0"), 120)}},
	} {
		if c.Check() == nil {
			t.Errorf("%s: nothing is wrong with it", name)
		}
	}
	if err := (&Charter{}).Check(); err != nil {
		t.Error(err)
	}
}
