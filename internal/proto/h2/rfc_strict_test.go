package h2_test

import "testing"

// TestRFC9113RequestsReadTwoWays are requests that two recipients could take for
// two different ones.
func TestRFC9113RequestsReadTwoWays(t *testing.T) {
	for name, fields := range map[string][]string{
		"8.2.1-leading-space":      with(rfcGet, "a= b"),
		"8.2.1-leading-tab":        with(rfcGet, "a=\tb"),
		"8.2.1-trailing-space":     with(rfcGet, "a=b "),
		"8.2.1-trailing-tab":       with(rfcGet, "a=b\t"),
		"8.3.1-relative-path":      {":method=GET", ":scheme=https", ":authority=shop.test", ":path=a"},
		"8.3.1-star-for-get":       {":method=GET", ":scheme=https", ":authority=shop.test", ":path=*"},
		"8.3.1-userinfo":           {":method=GET", ":scheme=https", ":authority=user@shop.test", ":path=/"},
		"8.3.1-slash-in-authority": {":method=GET", ":scheme=https", ":authority=shop.test/a", ":path=/"},
		"8.3.1-another-host":       with(rfcGet, "host=other.test"),
		"8.3.1-two-hosts":          {":method=GET", ":scheme=https", ":path=/", "host=a.test", "host=b.test"},
	} {
		t.Run(name, func(t *testing.T) { rfcMalformed(t, fields) })
	}
}
