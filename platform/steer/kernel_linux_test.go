package steer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/steer"
)

// TestNothingStays applies and takes back each steering.
func TestNothingStays(t *testing.T) {
	for name, s := range steerings() {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			if err := n.Gateway.Sysctl("net.ipv4.ip_forward", "0"); err != nil {
				t.Fatal(err)
			}
			if err := n.Gateway.Sysctl("net.ipv6.conf.all.forwarding", "0"); err != nil {
				t.Fatal(err)
			}
			if err := n.Gateway.Sysctl("net.ipv6.conf.wan0.forwarding", "1"); err != nil {
				t.Fatal(err)
			}
			if err := n.Gateway.Sysctl("net.ipv4.conf.all.accept_redirects", "0"); err != nil {
				t.Fatal(err)
			}
			if err := n.Gateway.Sysctl("net.ipv4.conf.lan0.send_redirects", "1"); err != nil {
				t.Fatal(err)
			}
			before := state(t, n.Gateway)
			k := open(t, n.Gateway)
			if err := k.Check(t.Context(), s); err != nil {
				t.Fatalf("check: %v", err)
			}
			same(t, n.Gateway, before)
			apply(t, k, s)
			applied := state(t, n.Gateway)
			if len(applied) == len(before) {
				t.Fatal("nothing was applied")
			}
			apply(t, k, s)
			if d := cmp.Diff(len(applied), len(state(t, n.Gateway))); d != "" {
				t.Errorf("applied twice: %s", d)
			}
			s.Draining = true
			apply(t, k, s)
			apply(t, k, platform.Steering{})
			same(t, n.Gateway, before)
			if left, err := k.Leftovers(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("left over: %q, %v", left, err)
			}
		})
	}
}

// TestSwitch goes from each steering to each other.
func TestSwitch(t *testing.T) {
	n := labtest.Gateway(t)
	before := state(t, n.Gateway)
	k := open(t, n.Gateway)
	for from, a := range steerings() {
		for to, b := range steerings() {
			apply(t, k, a)
			if err := k.Apply(t.Context(), b); err != nil {
				t.Fatalf("%s to %s: %v", from, to, err)
			}
		}
	}
	apply(t, k, platform.Steering{})
	same(t, n.Gateway, before)
}

// TestCleanup abandons each steering, and has another clean up.
func TestCleanup(t *testing.T) {
	for name, s := range steerings() {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			if err := n.Gateway.Sysctl("net.ipv4.ip_forward", "0"); err != nil {
				t.Fatal(err)
			}
			before := state(t, n.Gateway)
			first, second := open(t, n.Gateway), open(t, n.Gateway)
			apply(t, first, s)
			if _, err := second.Cleanup(t.Context()); !s.Draining && !errors.Is(err, steer.ErrLiving) {
				t.Fatalf("cleanup while another lives: %v", err)
			}
			if err := first.Abandon(); err != nil {
				t.Fatal(err)
			}
			left, err := second.Leftovers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", strings.Join(left, "\n"))
			if !cmp.Equal(left[0], "nft table inet transom_divert") {
				t.Errorf("left over: %q", left)
			}
			removed, err := second.Cleanup(t.Context())
			if d := cmp.Diff(left, removed); d != "" || err != nil {
				t.Errorf("removed: %v\n%s", err, d)
			}
			same(t, n.Gateway, before)
		})
	}
}
