package steer_test

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
	"transom/platform/steer"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// open returns a Kernel of a host; it is closed when t ends.
func open(t testing.TB, h *lab.Host) *steer.Kernel {
	t.Helper()
	return openWith(t, h, nil)
}

// openWith is open, with a log.
func openWith(t testing.TB, h *lab.Host, log *slog.Logger) (k *steer.Kernel) {
	t.Helper()
	if err := h.Do(func() (err error) {
		k, err = steer.Open(log)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func apply(t testing.TB, k *steer.Kernel, s platform.Steering) {
	t.Helper()
	if err := k.Apply(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}

// state is everything of a host that a steering may change.
func state(t testing.TB, h *lab.Host) []string {
	t.Helper()
	var out []string
	if err := h.Do(func() error {
		for _, list := range []func() ([]string, error){tables, routing, settings} {
			lines, err := list()
			if err != nil {
				return err
			}
			out = append(out, lines...)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all"} {
		args := strings.Fields(words)
		path, err := exec.LookPath(args[0])
		if err != nil {
			continue // our own lists say the same
		}
		text, err := h.Command(t.Context(), path, args[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", words, err, text)
		}
		text = regexp.MustCompile(`expires \d+sec|counter packets \d+ bytes \d+`).ReplaceAll(text, nil)
		out = append(out, strings.Split(words+"\n"+string(text), "\n")...)
	}
	return out
}

// same compares a host with what it was.
func same(t testing.TB, h *lab.Host, before []string) {
	t.Helper()
	if d := cmp.Diff(before, state(t, h)); d != "" {
		t.Errorf("the host is not as it was (-was +is):\n%s", d)
	}
}

func tables() (out []string, err error) {
	c, err := nft.Dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := c.Tables()
	for _, i := range list {
		out = append(out, fmt.Sprintf("table %s %s owned %v", i.Family, i.Name, i.Owned))
	}
	if err != nil {
		return nil, err
	}
	chains, err := c.Chains()
	for _, i := range chains {
		out = append(out, fmt.Sprintf("chain %+v", i))
		rules, err := c.Rules(i.Family, i.Table, i.Name)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			// What it does has counters in it.
			out = append(out, fmt.Sprintf("rule %s %s %s %d %q", r.Family, r.Table, r.Chain, r.Handle, r.Comment))
		}
	}
	return out, err
}

func routing() (out []string, err error) {
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		rules, err := netlink.RuleList(family)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			out = append(out, fmt.Sprintf("%+v", r))
		}
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			out = append(out, r.String())
		}
	}
	return out, nil
}

func settings() (out []string, err error) {
	for _, family := range []string{"ipv4", "ipv6"} {
		err = filepath.WalkDir("/proc/sys/net/"+family, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if b, err := os.ReadFile(path); err == nil { // some can only be written
				out = append(out, path+" = "+strings.TrimSpace(string(b)))
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
