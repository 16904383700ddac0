package nettest_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// A finding is one of what transom doctor --json prints.
type finding struct {
	Type, ID, Level, What, Why, Mend string
}

// doctor runs it on the gateway, and returns what it has found.
func (w *world) doctor(args ...string) (found []finding) {
	w.t.Helper()
	args = append([]string{"doctor", "--json", "--ca-dir", w.path("ca")}, args...)
	out, stderr, err := w.try(w.Gateway, "transom", args...)
	if code := exitCode(err); code > 1 || stderr != "" {
		w.t.Fatalf("transom %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	faults := false
	for line := range strings.Lines(out) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		faults = faults || f.Level == "fault"
		found = append(found, f)
	}
	if faults != (exitCode(err) == 1) {
		w.t.Errorf("exit code %d with\n%s", exitCode(err), out)
	}
	return found
}

// of returns the first finding of a kind that is worse than a note, if any.
func findingOf(found []finding, id string) (f finding, ok bool) {
	for _, f := range found {
		if f.ID == id && (f.Level == "fault" || f.Level == "warning") {
			return f, true
		}
	}
	return finding{}, false
}

// mend has the doctor find a thing, runs the remedy, and has it find no such thing
// any more. There may be several of a kind, each with its remedy.
func (w *world) mend(id string, args ...string) {
	w.t.Helper()
	const most = 4
	for n := range most {
		found := w.doctor(args...)
		f, ok := findingOf(found, id)
		switch {
		case !ok && n == 0:
			w.t.Fatalf("doctor does not find %q: %+v", id, found)
		case !ok:
			return
		case f.Mend == "":
			w.t.Fatalf("no remedy: %+v", f)
		}
		w.t.Logf("%s: %s\n\t%s\n\t%s", f.Level, f.What, f.Why, f.Mend)
		w.must(w.Gateway, "sh", "-euc", f.Mend)
	}
	w.t.Errorf("doctor still finds %q after %d remedies", id, most)
}

// A breakage is something that keeps capturing from working.
type breakage struct {
	name string
	id   string // of the finding
	// before is done before the gateway starts, after while it runs.
	before, after string
	gateway       []string // its options
	doctor        []string // the doctor's
}

// TestDoctor breaks a gateway in ways that a person may, has the doctor name it, runs
// the command that it prints, and sees that capturing works.
func TestDoctor(t *testing.T) {
	const drop = "nft 'add table inet other; add chain inet other pre { type filter hook prerouting priority -150; }; add rule inet other pre tcp dport { 443, 8443 } drop'"
	for _, b := range []breakage{
		{name: "forwarding-off", id: "forwarding", after: "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"},
		{name: "forwarding-off-before", id: "forwarding", before: "sysctl -w net.ipv4.ip_forward=0"},
		{name: "send-redirects", id: "redirects", after: "sysctl -w net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.lan0.send_redirects=1"},
		{name: "drop", id: "rules", after: drop},
		{name: "drop-before", id: "rules", before: drop},
		{name: "drop-by-iptables", id: "rules", after: "iptables -t mangle -I PREROUTING -p tcp -m multiport --dports 25,443 -j DROP; ip6tables -t raw -A PREROUTING -i lan0 -p tcp --dport 443 -j DROP"},
		{name: "drop-at-input", id: "rules", after: "nft 'add table inet other; add chain inet other in { type filter hook input priority 0; policy drop; }; add rule inet other in meta l4proto ipv6-icmp accept; insert rule inet other in tcp dport 443 drop'"},
		{name: "drop-at-ingress", id: "rules", after: "nft 'add table netdev other; add chain netdev other in { type filter hook ingress device lan0 priority 0; }; add rule netdev other in tcp dport 443 drop'"},
		{
			name: "no-conntrack", id: "conntrack", gateway: []string{"--method", "redirect"},
			after: "nft 'add table inet other; add chain inet other pre { type filter hook prerouting priority -300; }; add rule inet other pre iifname lan0 notrack'",
		},
		{
			name: "other-proxy", id: "other-proxy",
			after: "iptables -t mangle -A PREROUTING -i lan0 -p tcp --dport 443 -j TPROXY --on-port 3128; ip6tables -t mangle -A PREROUTING -i lan0 -p tcp --dport 443 -j TPROXY --on-port 3128",
		},
		{
			name: "other-proxy-redirects", id: "other-proxy", gateway: []string{"--method", "redirect"},
			after: "nft 'add table inet other; add chain inet other pre { type nat hook prerouting priority -120; }; add rule inet other pre iifname lan0 tcp dport 443 redirect to :3128'",
		},
	} {
		t.Run(b.name, func(t *testing.T) { b.test(t) })
	}
}

func (b *breakage) test(t *testing.T) {
	need(t, "iptables", "ip6tables", "sysctl")
	w := newGatewayWorld(t)
	w.site()
	broken := func(how string) {
		if how != "" {
			w.must(w.Gateway, "sh", "-euc", how)
		}
	}
	broken(b.before)
	if b.before != "" {
		w.mend(b.id, b.doctor...)
	}
	g := w.gateway(b.gateway...)
	broken(b.after)
	if b.after != "" {
		w.mend(b.id, b.doctor...)
	}
	w.wantAll(w.Client, 443, captured, seenAnybody)
	g.stop()
}
