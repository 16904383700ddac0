package nettest_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transom/platform/lab"
)

// echoes has the server's port 80 send back what it gets.
func (w *world) echoes() {
	w.t.Helper()
	w.handle(80, func(c *net.TCPConn) { io.Copy(c, c) })
}

// A live connection is one that goes on while things happen to transom.
type live struct {
	t *testing.T
	net.Conn
}

// live opens a connection to the echo and sees it work.
func (w *world) live(addr string) *live {
	w.t.Helper()
	l := &live{w.t, w.dial(addrPort(addr, 80).String())}
	l.works("at first")
	return l
}

// works checks that bytes still go both ways.
func (l *live) works(when string) {
	l.t.Helper()
	if err := l.echo(); err != nil {
		l.t.Errorf("an open connection, %s: %v", when, err)
	}
}

func (l *live) echo() error {
	const text = "\x00there and back\n"
	if err := l.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(l, text); err != nil {
		return err
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(l, b); err != nil || string(b) != text {
		return fmt.Errorf("got %q, %w", b, err)
	}
	return nil
}

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

// TestGatewaySecondInterrupt interrupts it twice: it ends at once, in order.
func TestGatewaySecondInterrupt(t *testing.T) {
	w := newGatewayWorld(t)
	w.echoes()
	w.secure(w.Server, 443)
	before := w.state(w.Gateway)
	g := w.gateway("--grace", "1m")
	c := w.live(lab.ServerAddr4)
	g.signal(syscall.SIGINT)
	eventually(t, "the drain", func() bool { return w.reach(w.Client, &net.Dialer{}, addrPort(lab.ServerAddr4, 443)).how == direct })
	c.works("while it drains")
	g.signal(syscall.SIGINT)
	g.wait(0)
	w.alone()
	w.restored(w.Gateway, before)
	if err := c.echo(); err == nil {
		t.Error("an open connection has outlived transom")
	}
}

// TestGatewayDrain ends it while a connection is open: that one lives on, new
// ones go direct.
func TestGatewayDrain(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.echoes()
			w.secure(w.Server, 443)
			w.secure(w.Server, 8443)
			w.datagrams(5353)
			w.filter(strict)
			before := w.state(w.Gateway)
			g := w.gateway(append(way.args, "--grace", "1m")...)
			open := []*live{w.live(lab.ServerAddr4), w.live(lab.ServerAddr6)}
			g.signal(syscall.SIGTERM)
			for _, f := range families {
				eventually(t, "new connections to go direct", func() bool {
					return w.reach(w.Client, &net.Dialer{}, addrPort(f.addr, 443)).how == direct
				})
			}
			w.wantAll(w.Client, 443, direct, seenClient)
			w.others(w.Client, seenClient)
			for _, l := range open {
				l.works("while it drains")
				l.Close()
			}
			if t.Failed() {
				return
			}
			g.wait(0)
			w.alone()
			w.restored(w.Gateway, before)
			w.noneInvalid()
		})
	}
}

// TestGatewayHelperDies kills the helper: its rules are back soon, and what is
// open does not notice.
func TestGatewayHelperDies(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.echoes()
			w.secure(w.Server, 443)
			w.filter(strict)
			before := w.state(w.Gateway)
			g := w.gateway(way.args...)
			armed := w.state(w.Gateway)
			open := []*live{w.live(lab.ServerAddr4), w.live(lab.ServerAddr6)}
			for range 2 {
				w.killHelper()
				for _, l := range open {
					l.works("when the helper was killed")
				}
				eventually(t, "the rules to be back", w.armed)
				w.restored(w.Gateway, armed)
				w.wantAll(w.Client, 443, captured, way.seen)
				for _, l := range open {
					l.works("when the helper was back")
				}
			}
			for _, l := range open {
				l.Close()
			}
			g.stop()
			w.alone()
			w.restored(w.Gateway, before)
			w.noneInvalid()
		})
	}
}

// killHelper kills the helper, and returns when it has ended.
func (w *world) killHelper() {
	w.t.Helper()
	old := w.process(helper)
	kill(w.t, old)
	eventually(w.t, "the helper to end", func() bool { return !slices.Contains(w.processes(helper), old) })
}

// TestGatewayHelperKeepsDying kills the helper again and again: transom gives up
// in order.
func TestGatewayHelperKeepsDying(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	before := w.state(w.Gateway)
	g := w.gateway()
	dead := 0
	eventually(t, "transom to give up", func() bool {
		if g.gone() {
			return true
		}
		for _, pid := range w.processes(helper) {
			kill(t, pid)
			dead++
		}
		return false
	})
	g.wait(1)
	w.alone()
	w.restored(w.Gateway, before)
	w.wantAll(w.Client, 443, direct, seenClient)
	if dead < 3 {
		t.Errorf("it gave up when the helper had died %d times", dead)
	}
}
