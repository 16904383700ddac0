package nettest_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestGatewayCutsOff: where a host did not forward before, the end is also that of
// the devices' way out. A line says so, and how to keep it, and only then.
func TestGatewayCutsOff(t *testing.T) {
	for name, tt := range map[string]struct {
		args     []string
		forwards bool
		kill     bool
	}{
		"ended":    {},
		"iptables": {args: []string{"--backend", "iptables"}},
		"killed":   {kill: true},
		"before":   {forwards: true},
	} {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(tt.args, "iptables") {
				need(t, "iptables", "ip6tables")
			}
			w := newGatewayWorld(t)
			if !tt.forwards {
				w.unforwarding()
			}
			before := w.state(w.Gateway)
			g := w.gateway(tt.args...)
			if tt.kill {
				signalTo(t, g.pid(), syscall.SIGKILL)
				g.wait(-1)
				w.alone()
			} else {
				g.stop()
			}
			w.restored(w.Gateway, before)
			want := 1
			if tt.forwards {
				want = 0
			}
			if n := strings.Count(g.log.String(), `to_forward="sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"`); n != want {
				t.Errorf("said %d times how to have this host forward, want %d:\n%s", n, want, g.log)
			}
		})
	}
}
