package nettest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestGatewaySquatted: a user without rights who holds the abstract socket keeps no
// gateway from starting and nothing from being cleaned up; and there is one gateway
// all the same.
func TestGatewaySquatted(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	var squatter net.Listener
	err := w.Gateway.Do(func() (err error) {
		squatter, err = net.Listen("unix", "@transom-gateway")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	if !listenAs(t, squatter, 1000) {
		t.Log("there is one user here, who is believed")
		return
	}
	before := w.state(w.Gateway)
	g := w.gateway()
	if !strings.Contains(g.log.String(), "uid=1000") {
		t.Errorf("who is in the way is not named:\n%s", g.log)
	}
	w.wantAll(w.Client, 443, captured, seenAnybody)
	w.refuses(t, w.Gateway, "1", fmt.Sprintf(`\bkill %d\b`, g.pid()), append([]string{find("transom")}, w.gatewayArgs("-p", "8081")...))
	g.killAll()
	g.wait(-1)
	w.alone()
	if out := w.must(w.Gateway, "transom", "cleanup"); !strings.Contains(out, "transom_divert") {
		t.Errorf("transom cleanup lists\n%s", out)
	}
	w.wantState("after transom cleanup", w.Gateway, before)
}

// listenAs has another user listen, and reports whether there is one: whose a
// socket is, is who listened last.
func listenAs(t *testing.T, l net.Listener, uid uintptr) (other bool) {
	t.Helper()
	raw, err := l.(*net.UnixListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // it ends with the thread's rights
		_, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uid, uid, uid)
		other = e == 0
		var err error
		done <- errors.Join(raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 1) }), err)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return other
}

// TestGatewayListed lists what is in force, and for whom, beside a gateway.
func TestGatewayListed(t *testing.T) {
	for _, backend := range []string{"nft", "iptables"} {
		t.Run(backend, func(t *testing.T) {
			if backend == "iptables" {
				need(t, "iptables", "ip6tables")
			}
			w := newGatewayWorld(t)
			w.unforwarding()
			g := w.gateway("--backend", backend)
			out, log, err := w.try(w.Gateway, "transom", "cleanup", "-n")
			if err != nil || !strings.Contains(out, "ip rule 7890") || !strings.Contains(out, "net.ipv4.ip_forward = 1 (was 0)") ||
				!strings.Contains(log, fmt.Sprintf("process %d)", g.pid())) {
				t.Errorf("cleanup -n: %v\n%s\n%s", err, out, log)
			}
			g.stop()
			w.alone()
			if out, log, err = w.try(w.Gateway, "transom", "cleanup", "-n"); err != nil || out != "" || !strings.Contains(log, "nothing") {
				t.Errorf("after it, cleanup -n: %v\n%s\n%s", err, out, log)
			}
		})
	}
}

// TestGatewayToldByOthers tells the processes beside the proxy to end, which a person
// may find first: it ends in order.
func TestGatewayToldByOthers(t *testing.T) {
	for _, kind := range []string{helper, watch} {
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			t.Run(kind+"-"+sig.String(), func(t *testing.T) {
				w := newGatewayWorld(t)
				s := w.slow()
				before := w.state(w.Gateway)
				g := w.gateway()
				resp, first := w.halfway(w.browser(w.read(w.authority.file)), "http://"+shop+"/", s)
				told := w.process(kind)
				signalTo(t, told, sig)
				g.log.wait(t, func(s string) bool { return strings.Contains(s, fmt.Sprintf("process %d was told to", told)) })
				eventually(t, "new connections to go direct", func() bool { return !w.armed() })
				close(s.goOn)
				rest, err := io.ReadAll(resp.Body)
				if got := first + string(rest); err != nil || got != "half whole" {
					t.Errorf("got %q, %v", got, err)
				}
				g.wait(0)
				w.alone()
				w.restored(w.Gateway, before)
			})
		}
	}
}
