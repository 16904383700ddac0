package steer_test

import (
	"slices"
	"strings"
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
	"transom/platform/steer"
)

// notes is a memory as the watch of a helper has one.
type notes struct{ lines []string }

func (n *notes) Recall() ([]string, error) { return n.lines, nil }
func (n *notes) Keep(lines []string) error { n.lines = slices.Clone(lines); return nil }

// flushed removes all tables of a host.
func flushed(t *testing.T, h *lab.Host) {
	t.Helper()
	if err := h.Do(func() error {
		c, err := nft.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		tables, err := c.Tables()
		if err != nil {
			return err
		}
		var b nft.Batch
		for _, table := range tables {
			b.Remove(table.Family, table.Name)
		}
		return c.Commit(&b)
	}); err != nil {
		t.Fatal(err)
	}
}

// TestRemembered has nftables flushed between the death of one that steers and the
// beginning of the next, which takes everything back all the same.
func TestRemembered(t *testing.T) {
	for name, end := range map[string]func(*steer.Kernel) error{
		"leave":   func(k *steer.Kernel) error { return k.Leave(t.Context()) },
		"cleanup": func(k *steer.Kernel) error { _, err := k.Cleanup(t.Context()); return err },
		"close": func(k *steer.Kernel) error {
			if err := k.Apply(t.Context(), usual(platform.TPROXY)); err != nil {
				return err
			}
			return k.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
				if err := n.Gateway.Sysctl(key, "0"); err != nil {
					t.Fatal(err)
				}
			}
			before := state(t, n.Gateway)
			var m notes
			k := open(t, n.Gateway)
			k.Remember(&m)
			apply(t, k, usual(platform.TPROXY))
			if !slices.ContainsFunc(m.lines, func(l string) bool { return strings.HasPrefix(l, "net.ipv4.ip_forward = 1") }) {
				t.Fatalf("remembered: %q", m.lines)
			}
			if err := k.Abandon(); err != nil {
				t.Fatal(err)
			}
			flushed(t, n.Gateway)
			k = open(t, n.Gateway)
			k.Remember(&m)
			if err := end(k); err != nil {
				t.Fatal(err)
			}
			same(t, n.Gateway, before)
			if len(m.lines) > 0 {
				t.Errorf("still remembered: %q", m.lines)
			}
		})
	}
}
