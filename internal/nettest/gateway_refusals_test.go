package nettest_test

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"transom/platform/lab"
)

// TestGatewayRefuses has it used wrongly: it says in one line what, where and
// what to do, and has changed nothing.
func TestGatewayRefuses(t *testing.T) {
	w := newGatewayWorld(t)
	lonely, err := w.Host("lonely")
	if err != nil {
		t.Fatal(err)
	}
	busy, err := w.Gateway.Listen(w.ctx, addrPort(lab.LANAddr4, 8888))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tc := range []struct {
		name, args string
		codes      string
		line       string
		host       *lab.Host
	}{
		{"interface", "--interface nosuch0", "12", `nosuch0`, nil},
		{"interface-name", "--interface lan0;reboot", "12", `lan0;reboot`, nil},
		{"interface-none", "", "12", `--interface`, lonely},
		{"port-taken", "--interface lan0 -p 8888", "1", `8888.*in use`, nil},
		{"port", "--interface lan0 -p 70000", "2", `70000`, nil},
		{"from", "--interface lan0 --from 10.0.0.0/33", "2", `--from.*10\.0\.0\.0/33`, nil},
		{"from-name", "--interface lan0 --from shop.example", "2", `--from.*shop\.example`, nil},
		{"exclude", "--interface lan0 --exclude 10.0.0", "2", `--exclude.*10\.0\.0`, nil},
		{"ports", "--interface lan0 --ports 80,0", "2", `--ports.*"0"`, nil},
		{"ports-backwards", "--interface lan0 --ports 90-80", "2", `--ports.*90-80`, nil},
		{"ports-word", "--interface lan0 --ports some", "2", `--ports.*some`, nil},
		{"method", "--interface lan0 --method magic", "2", `--method.*magic.*auto.*tproxy.*redirect`, nil},
		{"backend", "--interface lan0 --backend pf", "2", `--backend.*pf.*auto.*nft.*iptables`, nil},
		{"spoof", "--interface lan0 --spoof-source all", "2", `--spoof-source.*all.*none.*ip`, nil},
		{"user", "--interface lan0 --user no-such-user", "12", `--user.*no-such-user`, nil},
		{"quic", "--interface lan0 --quic maybe", "2", `--quic.*maybe.*reject.*pass`, nil},
		{"on-dead", "--interface lan0 --on-dead never", "2", `--on-dead.*never.*open.*closed`, nil},
		{"mark", "--interface lan0 --mark 0x5", "2", `--mark.*0x5`, nil},
		{"twice-spoofed", "--interface lan0 --spoof-source none --spoof-source-address", "2", `--spoof-source`, nil},
		{"quiet-json", "--interface lan0 -q --json", "2", `-q`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := tc.host
			if h == nil {
				h = w.Gateway
			}
			w.refuses(t, h, tc.codes, tc.line, append([]string{find("transom"), "gateway"}, strings.Fields(tc.args)...))
		})
	}
	t.Run("cleanup-unprivileged", func(t *testing.T) {
		w.refuses(t, w.Gateway, "1", `(?i)root|setcap|CAP_NET_ADMIN`, w.unprivileged("cleanup"))
	})
	t.Run("unprivileged", func(t *testing.T) {
		w.refuses(t, w.Gateway, "1", `(?i)root|setcap`, w.unprivileged("gateway", "--interface", "lan0", "--ca-dir", w.path("other")))
	})
	t.Run("another-runs", func(t *testing.T) {
		g := w.gateway()
		by := fmt.Sprintf(`another transom \(process %d\) .* kill %[1]d\b`, g.pid())
		w.refuses(t, w.Gateway, "1", by, append([]string{find("transom")}, w.gatewayArgs("-p", "8081")...))
		w.refuses(t, w.Gateway, "1", by, []string{find("transom"), "cleanup"})
		g.stop()
	})
}

// unprivileged returns a command without any right.
func (w *world) unprivileged(args ...string) []string {
	return append([]string{find("setpriv"), "--bounding-set=-all", "--inh-caps=-all", find("transom")}, args...)
}

// refuses runs a command that must end by itself, with one of some codes and one
// line, and checks that the host is as it was.
func (w *world) refuses(t *testing.T, h *lab.Host, codes, line string, command []string) {
	t.Helper()
	before := w.state(h)
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	cmd := h.Command(ctx, command[0], command[1:]...)
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "PATH=" + sbin + ":/usr/bin:/bin"}
	cmd.WaitDelay = patience
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	code := exitCode(cmd.Run())
	said, _, hinted := strings.Cut(strings.TrimSuffix(stderr.String(), "\n"), "\nRun 'transom")
	if !strings.Contains(codes, fmt.Sprint(code)) || stdout.Len() > 0 || hinted != (code == 2) {
		t.Errorf("ended with %d, want one of %s; printed %q and %q", code, codes, &stdout, &stderr)
	}
	if strings.Contains(said, "\n") || !strings.HasPrefix(said, "transom: ") || !regexp.MustCompile(line).MatchString(said) {
		t.Errorf("said %q, want one line that matches %q", said, line)
	}
	if now := w.state(h); now != before {
		t.Errorf("it has changed\n%s", changes(before, now))
	}
	if made, err := filepath.Glob(home + "/.*/*"); code == 2 && (err != nil || len(made) > 0) {
		t.Errorf("it has made %q, %v", made, err)
	}
}
