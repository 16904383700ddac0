package nettest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// A gateway is a running "transom gateway": the proxy, and the two processes
// that hold its rights.
type gateway struct {
	*transom
	w *world
}

// newGatewayWorld returns a world whose files the user that transom becomes can
// reach, too.
func newGatewayWorld(t *testing.T) *world {
	t.Helper()
	need(t, "nft", "ip", "sh")
	w := newWorld(t)
	for path, mode := range map[string]os.FileMode{filepath.Dir(w.dir): 0o755, w.dir: 0o755, w.authority.file: 0o644} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// gatewayArgs are for clients behind lan0, and what is in more.
func (w *world) gatewayArgs(more ...string) []string {
	return append([]string{
		"gateway", "--interface", "lan0", "--upstream-ca", w.authority.file, "--ca-dir", w.path("ca"), "--json",
	}, more...)
}

// gateway starts transom on the gateway for the clients behind lan0, and waits
// until it captures. It must end well by the end of the test at the latest.
func (w *world) gateway(args ...string) *gateway {
	w.t.Helper()
	return w.startGateway(w.command(w.Gateway, "transom", w.gatewayArgs(args...)...))
}

// startGateway starts a program that is, or becomes, transom gateway.
func (w *world) startGateway(cmd *lab.Cmd) *gateway {
	w.t.Helper()
	w.iptables = slices.Contains(cmd.Args, "iptables")
	g := &gateway{transom: w.start(cmd), w: w}
	eventually(w.t, "the gateway to capture", func() bool { return w.armed() })
	return g
}

// armed reports whether rules capture, by nft or by iptables.
func (w *world) armed() bool {
	w.t.Helper()
	// While it captures nothing the table is there, and empty: it says who is at work.
	return strings.Contains(w.must(w.Gateway, "nft", "list", "ruleset", "inet"), "\tchain capture") || w.armedByIptables()
}

func (w *world) armedByIptables() bool {
	w.t.Helper()
	return w.iptables && strings.Contains(w.must(w.Gateway, "iptables-save"), "TRANSOM_")
}

// trusts returns a file with the certificate that clients of the gateway trust.
func (g *gateway) trusts() string {
	g.t.Helper()
	return g.w.write("gateway-ca.pem", g.w.must(g.w.Gateway, "transom", "ca", "export", "--ca-dir", g.w.path("ca")))
}

// The processes beside the proxy, by what follows "transom helper".
const (
	helper = "serve"
	watch  = "watch"
)

// processes returns the pids of one kind on the gateway.
func (w *world) processes(kind string) (pids []int) {
	w.t.Helper()
	ns := w.namespace(w.Gateway)
	all, err := os.ReadDir("/proc")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range all {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.Contains(string(b), "helper\x00"+kind+"\x00") {
			continue // gone, or another
		}
		if in, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil && in == ns {
			pids = append(pids, pid)
		}
	}
	return pids
}

// process returns the pid of the one process of a kind on the gateway, and
// waits for it if it is not there yet.
func (w *world) process(kind string) (pid int) {
	w.t.Helper()
	eventually(w.t, "one process transom helper "+kind, func() bool {
		pids := w.processes(kind)
		if len(pids) == 1 {
			pid = pids[0]
		}
		return len(pids) == 1
	})
	return pid
}

// alone waits until none of transom's processes is left on the gateway but for
// those of other kinds. A process that ends has no name any more before it lets go of
// what it owns.
func (w *world) alone() {
	w.t.Helper()
	eventually(w.t, "helper and watch to end", func() bool {
		return len(w.processes(helper)) == 0 && len(w.processes(watch)) == 0 &&
			!strings.Contains(w.must(w.Gateway, "nft", "list", "ruleset", "inet"), "flags owner")
	})
}

// namespace names the network namespace of a host.
func (w *world) namespace(h *lab.Host) (name string) {
	w.t.Helper()
	err := h.Do(func() (err error) {
		name, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return name
}

// kill kills processes at once: none can do anything when the first one dies.
func kill(t *testing.T, pids ...int) {
	t.Helper()
	if len(pids) > 1 {
		for _, pid := range pids {
			signalTo(t, pid, syscall.SIGSTOP)
		}
	}
	for _, pid := range pids {
		signalTo(t, pid, syscall.SIGKILL)
	}
}

func signalTo(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("no process to send %v to", s)
	}
	if err := syscall.Kill(pid, s); err != nil && err != syscall.ESRCH {
		t.Fatal(err)
	}
}
