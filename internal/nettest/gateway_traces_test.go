package nettest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A death is a way for transom to end.
type death struct {
	name string
	do   func(g *gateway)
	code int // of the proxy, -1 if it is killed
	// inert says that what can do nothing by itself is left to the next start.
	inert bool
}

func deaths() []death {
	return []death{
		{name: "term", do: func(g *gateway) { g.signal(syscall.SIGTERM) }},
		{name: "interrupt", do: func(g *gateway) { g.signal(syscall.SIGINT) }},
		{name: "proxy", do: func(g *gateway) { kill(g.t, g.pid()) }, code: -1},
		{name: "watch", do: func(g *gateway) { kill(g.t, g.w.process(watch)) }, code: 1},
		{name: "proxy-and-helper", do: func(g *gateway) { kill(g.t, g.pid(), g.w.process(helper)) }, code: -1},
		{name: "proxy-and-watch", do: func(g *gateway) { kill(g.t, g.pid(), g.w.process(watch)) }, code: -1},
		{name: "helper-and-watch", do: func(g *gateway) { kill(g.t, g.w.process(helper), g.w.process(watch)) }, code: 1, inert: true},
		{name: "all", do: (*gateway).killAll, code: -1, inert: true},
	}
}

// killAll kills all three as when the power fails: none can do anything more.
func (g *gateway) killAll() {
	g.t.Helper()
	kill(g.t, g.w.process(watch), g.w.process(helper), g.pid())
}

// TestGatewayLeavesNothing ends transom in each way. The host has to be as it
// was, but for what nobody was left to take back, and that is inert: the next
// start takes it back, or transom cleanup does.
func TestGatewayLeavesNothing(t *testing.T) {
	for _, d := range deaths() {
		for _, way := range ways {
			t.Run(d.name+"-"+way.name, func(t *testing.T) {
				w := newGatewayWorld(t)
				w.site()
				w.unforwarding()
				before := w.state(w.Gateway)
				g := w.gateway(way.args...)
				w.wantAll(w.Client, 443, captured, way.seen)
				d.do(g)
				g.wait(d.code)
				w.alone()
				if !d.inert {
					w.restored(w.Gateway, before)
				}
				if d.inert {
					w.mended(before, way.args)
				}
				w.forwarding()
				w.wantAll(w.Client, 443, direct, seenClient)
			})
		}
	}
}

// unforwarding takes forwarding away, which transom is to set up and take back.
func (w *world) unforwarding() {
	w.t.Helper()
	w.setForwarding("0")
	if err := w.Gateway.Sysctl("net.ipv4.conf.all.send_redirects", "1"); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) forwarding() { w.setForwarding("1") }

func (w *world) setForwarding(value string) {
	w.t.Helper()
	for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := w.Gateway.Sysctl(key, value); err != nil {
			w.t.Fatal(err)
		}
	}
}

// mended looks at what is left behind all that transom is: new connections go
// direct; the next start lists and removes it, and so does cleanup.
func (w *world) mended(before string, args []string) {
	w.t.Helper()
	// Forwarding may be among what is left, or not; it is not the question.
	w.wantLeft(before)
	again := w.gateway(args...)
	w.wantAll(w.Client, 443, captured, seenAnybody)
	if s := again.log.String(); !strings.Contains(s, "transom_divert") {
		w.t.Errorf("the next start does not list what it found:\n%s", s)
	}
	again.stop()
	w.alone()
	w.restored(w.Gateway, before)

	last := w.gateway(args...)
	last.killAll()
	last.wait(-1)
	w.alone()
	w.wantLeft(before)
	out := w.must(w.Gateway, "transom", "cleanup")
	if !strings.Contains(out, "transom_divert") || slices.Contains(args, "tproxy") && !strings.Contains(out, "ip rule") {
		w.t.Errorf("transom cleanup lists\n%s", out)
	}
	w.wantState("after transom cleanup", w.Gateway, before)
	if again := w.must(w.Gateway, "transom", "cleanup"); strings.Contains(again, "transom_divert") {
		w.t.Errorf("transom cleanup finds more:\n%s", again)
	}
}

// wantLeft checks that what is left captures nothing, and that there is
// something left: otherwise this looks at nothing.
func (w *world) wantLeft(before string) {
	w.t.Helper()
	if left := w.state(w.Gateway); left == before {
		w.t.Error("nothing is left; who has removed it?")
	} else if strings.Contains(left, "table inet transom {") {
		w.t.Errorf("interception is left:\n%s", changes(before, left))
	}
	w.wantAll(w.Client, 443, direct, seenClient)
}

// TestGatewayCgroupKill kills everything that is in the gateway's control group.
func TestGatewayCgroupKill(t *testing.T) {
	w := newGatewayWorld(t)
	group := w.cgroup()
	if group == "" {
		t.Log("no control group can be made here; TestGatewayLeavesNothing/all kills the processes one by one")
		return
	}
	w.site()
	before := w.state(w.Gateway)
	sh := w.command(w.Gateway, "sh", append([]string{
		"-euc", `echo $$ >"$1/cgroup.procs"; shift; exec "$@"`, "sh", group, find("transom"),
	}, w.gatewayArgs("--method", "tproxy")...)...)
	g := w.startGateway(sh)
	w.wantAll(w.Client, 443, captured, seenClientPort)
	if err := os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	g.wait(-1)
	w.alone()
	w.mended(before, []string{"--method", "tproxy"})
}

// cgroup makes a control group that can be killed, "" if that is not allowed.
func (w *world) cgroup() string {
	w.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		place, kind, _ := strings.Cut(line, " - ")
		if f := strings.Fields(place); strings.HasPrefix(kind, "cgroup2 ") && len(f) > 4 {
			dir, err := os.MkdirTemp(f[4], "transom-test-")
			if err != nil {
				continue
			}
			w.t.Cleanup(func() {
				eventually(w.t, "the control group to be empty", func() bool { return os.Remove(dir) == nil })
			})
			if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err == nil {
				return dir
			}
		}
	}
	return ""
}
