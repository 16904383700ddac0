package nettest_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"transom/platform/lab"
)

// rulesOf prints all that steers packets. Counters are left out, which change
// by themselves.
const rulesOf = `nft -s list ruleset
for f in -4 -6; do ip $f rule; ip $f route show table all; done`

// empty matches what iptables leaves behind when all its rules are gone. It does
// not count.
var empty = regexp.MustCompile(`(?m)^table ip6? (raw|mangle|nat|filter) \{\n(\tchain [A-Z]+ \{\n\t\ttype .* policy accept;\n\t\}\n\n?)*\}\n`)

// state returns everything about a host that steering can change: packet
// filter, policy routing, routes and all settings of the network, a line each.
func (w *world) state(h *lab.Host) string {
	w.t.Helper()
	return w.rules(h) + w.settings(h)
}

// holder matches the process that the lock names.
var holder = regexp.MustCompile(`comment "process \d+ in pid:\[\d+\]"`)

func (w *world) rules(h *lab.Host) string {
	w.t.Helper()
	text := empty.ReplaceAllString(w.must(h, "sh", "-euc", rulesOf), "")
	return holder.ReplaceAllString(text, `comment "process"`)
}

func (w *world) settings(h *lab.Host) (text string) {
	w.t.Helper()
	err := h.Do(func() (err error) {
		text, err = networkSettings()
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// networkSettings reads everything below /proc/sys/net that can be read. It is called
// on a thread of the host.
func networkSettings() (string, error) {
	var text strings.Builder
	const top = "/proc/sys/net"
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an interface went, and its settings with it
		}
		if err != nil || d.IsDir() {
			return err
		}
		if d.Name() == "nf_conntrack_count" {
			return nil // changes by itself
		}
		b, err := os.ReadFile(path)
		if err == nil { // others can be written alone, or are not set
			fmt.Fprintf(&text, "%s = %q\n", strings.TrimPrefix(path, top+"/"), b)
		}
		return nil
	})
	return text.String(), err
}

// restored waits until a host is as it was. It fails t with what is different if
// that takes too long.
func (w *world) restored(h *lab.Host, before string) {
	w.t.Helper()
	deadline := timer(w.t)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now := w.rules(h)
		if strings.HasPrefix(before, now) { // otherwise the rest can wait, it is slow to read
			now += w.settings(h)
		}
		if now == before {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Errorf("%s is not as it was:\n%s", h.Name(), changes(before, now))
			return
		}
	}
}

// wantState fails t if a host is not as it was.
func (w *world) wantState(what string, h *lab.Host, before string) {
	w.t.Helper()
	if now := w.state(h); now != before {
		w.t.Errorf("%s: %s is not as it was:\n%s", what, h.Name(), changes(before, now))
	}
}

// changes returns the lines that one of the two does not have.
func changes(before, after string) string {
	var out strings.Builder
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, l := range was {
		if !slices.Contains(is, l) {
			fmt.Fprintln(&out, "-", l)
		}
	}
	for _, l := range is {
		if !slices.Contains(was, l) {
			fmt.Fprintln(&out, "+", l)
		}
	}
	if out.Len() == 0 {
		return "the order of lines"
	}
	return out.String()
}

// TestState looks at what the tests of the gateway compare: it does not change
// by itself, not by traffic, and it does by each kind of steering.
func TestState(t *testing.T) {
	need(t, "nft", "ip")
	w := newWorld(t)
	w.site()
	before := w.state(w.Gateway)
	for _, v := range w.reachEach(w.Client) {
		v.want(t, direct, seenClient)
	}
	w.wantState("after traffic", w.Gateway, before)
	for what, change := range map[string][2]string{
		"a table":        {"nft add table inet other", "nft delete table inet other"},
		"a rule":         {"ip -6 rule add pref 7 fwmark 1 lookup 7", "ip -6 rule del pref 7"},
		"a route":        {"ip route add local default dev lo table 7", "ip route flush table 7"},
		"a setting":      {"echo 1 >/proc/sys/net/ipv4/conf/lan0/rp_filter", "echo 0 >/proc/sys/net/ipv4/conf/lan0/rp_filter"},
		"a setting of 6": {"echo 2 >/proc/sys/net/ipv6/conf/wan0/accept_ra", "echo 1 >/proc/sys/net/ipv6/conf/wan0/accept_ra"},
	} {
		w.must(w.Gateway, "sh", "-euc", change[0])
		if w.state(w.Gateway) == before {
			t.Errorf("%s is not noticed", what)
		}
		w.must(w.Gateway, "sh", "-euc", change[1])
		w.wantState(what+" that is gone", w.Gateway, before)
	}
}
