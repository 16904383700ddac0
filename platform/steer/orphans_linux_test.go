package steer_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// TestOrphans sees a client use a port again that its connection through us had,
// right after we have ended: our socket with the client's address, in TIME_WAIT,
// must not keep answers from it.
func TestOrphans(t *testing.T) {
	tool(t, "ss")
	w := newRouter(t)
	server := netip.MustParseAddrPort(lab.ServerAddr4 + ":80")
	l, err := w.Server.Listen(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	steering := platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, Spoof: true}
	var k *steer.Kernel
	var host platform.Host
	if err := w.Gateway.Do(func() (err error) {
		if k, err = steer.Open(nil); err != nil {
			return err
		}
		host, err = platform.Here(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer k.Abandon()
	defer host.Close()
	if err := k.Apply(t.Context(), steering); err != nil {
		t.Fatal(err)
	}

	// 1. A connection with the client's address, which we end first.
	source := netip.MustParseAddrPort(lab.ClientAddr4 + ":40000")
	var ours net.Conn
	if err := w.Gateway.Do(func() (err error) {
		ours, err = host.Dial(t.Context(), platform.Socket{
			Bind: source, Transparent: true, Require: true, Mark: platform.DefaultMarks().Upstream,
		}, server)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	ours.Close()
	if n, err := theirs.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("the server reads %d, %v", n, err)
	}
	theirs.Close()
	for deadline := time.Now().Add(patience); !strings.Contains(w.run("ss", "-tanH", "state", "time-wait"), source.String()); {
		if time.Now().After(deadline) {
			t.Fatal("our socket is not in TIME_WAIT")
		}
	}

	// 2. We end, and the client uses the port.
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if left := w.run("ss", "-tanH"); strings.Contains(left, source.String()) {
		t.Errorf("the gateway still has\n%s", left)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := w.Client.DialWith(ctx, &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(source)}, server)
	if err != nil {
		t.Fatalf("the client's own connection: %v", err)
	}
	c.Close()
}
