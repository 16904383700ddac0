package steer

import "testing"

func TestChangeText(t *testing.T) {
	for text, want := range map[string]change{
		"net.ipv4.ip_forward = 1 (was 0)":                       {"ipv4/ip_forward", "1", "0"},
		"net.ipv6.conf.eth0/7.accept_ra = 2 (was 1)":            {"ipv6/conf/eth0.7/accept_ra", "2", "1"},
		"net.ipv4.conf.all.send_redirects = 0 (was -1)":         {"ipv4/conf/all/send_redirects", "0", "-1"},
		"net.core.somaxconn = 1 (was 0)":                        {},
		"net.ipv4.//.//.kernel.panic = 1 (was 0)":               {},
		"net.ipv4.ip_forward = 1":                               {},
		"net.ipv4.ip_forward = 1 (was 0) ":                      {},
		"net.ipv4.ip_local_port_range = 1 (was 32768 60999)":    {},
		"kernel.net.ipv4.ip_forward = 1 (was 0)":                {},
		"net.ipv4..ip_forward = 1 (was 0)":                      {},
		"net.ipv4.ip_forward = 1 (was 99999999999999999999999)": {},
	} {
		got, ok := parseChange(text)
		if ok != (want != change{}) || ok && got != want {
			t.Errorf("%q: %+v, %v", text, got, ok)
		}
		if ok && got.String() != text {
			t.Errorf("%q is written %q", text, got)
		}
	}
}

func FuzzParseChange(f *testing.F) {
	f.Add("net.ipv4.ip_forward = 1 (was 0)")
	f.Add("net.ipv6.conf.eth0/7.accept_ra = 2 (was 1)")
	f.Add("net.ipv4.//.x = - (was )")
	f.Fuzz(func(t *testing.T, text string) {
		if c, ok := parseChange(text); ok && c.String() != text {
			t.Errorf("%q is written %q", text, c)
		}
	})
}
