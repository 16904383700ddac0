package nettest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// TestGatewaySquatted: a user without rights who holds the abstract socket keeps no
// gateway from starting and nothing from being cleaned up; and there is one gateway
// all the same.
func TestGatewaySquatted(t *testing.T) {
	w := newGatewayWorld(t)
	w.site()
	squatter, other := listenAs(t, w.Gateway, 1000)
	defer squatter.Close()
	if !other {
		t.Log("there is one user here, who is believed")
		return
	}
	before := w.state(w.Gateway)
	g := w.gateway()
	if !strings.Contains(g.log.String(), fmt.Sprintf("process %d of user 1000", os.Getpid())) {
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

// listenAs has another user listen at the abstract socket, and reports whether there
// is one.
func listenAs(t *testing.T, h *lab.Host, uid uintptr) (l net.Listener, other bool) {
	t.Helper()
	become := func(uid uintptr) error {
		const same = ^uintptr(0)
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, same, uid, same); e != 0 {
			return e
		}
		return nil
	}
	if err := h.Do(func() (err error) {
		other = become(uid) == nil
		defer func() { err = errors.Join(err, become(0)) }()
		l, err = net.Listen("unix", "@transom-gateway")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return l, other
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
			if n := strings.Count(out, "ip rule 7890"); n != 1 {
				t.Errorf("a rule is listed %d times:\n%s", n, out)
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
