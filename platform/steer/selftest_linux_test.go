package steer_test

import (
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// clients are the networks of a labtest.Gateway's clients.
func clients() []string { return []string{"192.168.1.0/24", "fd01::/64"} }

func selfTest(t testing.TB, h *lab.Host, s platform.Steering) error {
	t.Helper()
	return h.Do(func() error { return steer.SelfTest(t.Context(), s, prefixes(clients()...)) })
}

// TestSelfTestPasses tries it in gateways of all sorts.
func TestSelfTestPasses(t *testing.T) {
	for name, surround := range surroundings() {
		for how, s := range map[string]platform.Steering{
			"tproxy":   usual(platform.TPROXY),
			"redirect": usual(platform.Redirect),
		} {
			t.Run(name+"-"+how, func(t *testing.T) {
				n := labtest.Gateway(t)
				surround(t, n.Gateway)
				k := open(t, n.Gateway)
				apply(t, k, s)
				before := state(t, n.Gateway)
				if err := selfTest(t, n.Gateway, s); err != nil {
					t.Error(err)
				}
				same(t, n.Gateway, before)
			})
		}
	}
}
