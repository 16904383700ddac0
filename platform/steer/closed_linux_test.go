package steer_test

import (
	"errors"
	"syscall"
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
)

// throughClosed connects to a client, as through a port forward, where all that
// clients begin is refused.
func throughClosed(t *testing.T, n *lab.Net) {
	t.Helper()
	talker(t, n.Client, 25)
	serve(t, n.Server, 80)
	for _, a := range []string{lab.ClientAddr4, lab.ClientAddr6} {
		say := talk(t, n.Server, at(a, 25))
		say("hello")
		say("and again")
	}
	for _, a := range servers() {
		if said, _, err := visit(t, n.Client, at(a, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %q, %v; want refused", a, said, err)
		}
	}
}

func everything(m platform.Method) platform.Steering {
	s := usual(m)
	s.Ports, s.Closed = nil, true
	return s
}

// TestClosedLeavesWhatGoesOn refuses new connections of clients when transom is
// gone, and not what others have begun.
func TestClosedLeavesWhatGoesOn(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			n := labtest.Gateway(t)
			k := open(t, n.Gateway)
			apply(t, k, everything(m))
			if err := k.Abandon(); err != nil {
				t.Fatal(err)
			}
			throughClosed(t, n)
		})
	}
}

// TestIPTablesClosedLeavesWhatGoesOn is the same by iptables.
func TestIPTablesClosedLeavesWhatGoesOn(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		if err := w.Gateway.Forward(); err != nil {
			t.Fatal(err)
		}
		x.start()
		x.apply(everything(platform.TPROXY))
		x.do(x.Abandon)
		x.start()
		x.do(func() error { return x.Leave(w.Context()) })
		x.do(x.Close)
		throughClosed(w.T, w.Net)
	})
}
