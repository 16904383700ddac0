package nettest_test

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"transom/platform/sandbox"
)

// TestGatewayPrivilege looks at what the three processes may do, however transom
// was started: who reads traffic may do nothing, and the others may what the
// options need.
func TestGatewayPrivilege(t *testing.T) {
	const all, noPorts = 1<<sandbox.NetAdmin | 1<<sandbox.NetRaw | 1<<sandbox.NetBindService, 1<<sandbox.NetAdmin | 1<<sandbox.NetRaw
	spoofing := []string{"--method", "tproxy", "--spoof-source", "ip+port"}
	for _, tc := range []struct {
		name  string
		args  []string
		start func(w *world, args []string) *gateway
		uid   string // whose the proxy has to be; "" is whose it was
		caps  uint64 // what the helper may have at most
		users bool   // needs users besides root
	}{
		{"root", spoofing, asRoot, "nobody", all, false},
		{"root-user", append(spoofing, "--user", "daemon"), asRoot, "daemon", all, true},
		{"root-redirect", []string{"--method", "redirect", "--spoof-source", "none"}, asRoot, "nobody", noPorts, false},
		{"root-on-dead-closed", append(spoofing, "--on-dead", "closed"), asRoot, "nobody", all, false},
		{"sudo", spoofing, bySudo, "daemon", all, true},
		{"setcap", spoofing, bySetcap, "daemon", all, true},
		{"ambient", spoofing, byAmbient, "daemon", all, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			if tc.users && !w.users() {
				t.Log("there are no other users in this user namespace")
				return
			}
			need(t, "setpriv", "setcap")
			w.site()
			before := w.state(w.Gateway)
			g := tc.start(w, w.gatewayArgs(tc.args...))
			look := func(when string) {
				t.Helper()
				uid := "0"
				if w.users() {
					uid = id(t, tc.uid)
				}
				for _, thread := range threads(t, g.pid()) {
					thread.mayNothing(t, when, uid)
				}
				for _, kind := range []string{helper, watch} {
					for _, thread := range threads(t, w.process(kind)) {
						thread.mayAtMost(t, when+", "+kind, tc.caps)
					}
				}
			}
			look("at first")
			w.wantAll(w.Client, 443, captured, seenAnybody)
			w.wantAll(w.Client, 443, captured, seenAnybody)
			look("after traffic")
			w.killHelper()
			eventually(t, "the rules to be back", w.armed)
			w.wantAll(w.Client, 443, captured, seenAnybody)
			look("with another helper")
			g.stop()
			w.restored(w.Gateway, before)
		})
	}
}

func id(t *testing.T, name string) string {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return u.Uid
}

func asRoot(w *world, args []string) *gateway {
	return w.startGateway(w.command(w.Gateway, "transom", args...))
}

func bySudo(w *world, args []string) *gateway {
	w.copied() // for the directory
	cmd := w.command(w.Gateway, "transom", args...)
	u, err := user.Lookup("daemon")
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, "SUDO_UID="+u.Uid, "SUDO_GID="+u.Gid, "SUDO_USER=daemon", "SUDO_COMMAND="+find("transom"))
	return w.startGateway(cmd)
}

// bySetcap runs a copy that has what the documentation says.
func bySetcap(w *world, args []string) *gateway {
	w.t.Helper()
	program := w.copied()
	w.must(w.Gateway, "setcap", "cap_net_admin,cap_net_raw+ep", program)
	return w.startGateway(w.command(w.Gateway, "setpriv", append(w.asDaemon(program), args...)...))
}

// byAmbient is as systemd does it.
func byAmbient(w *world, args []string) *gateway {
	w.t.Helper()
	const caps = "+net_admin,+net_raw"
	return w.startGateway(w.command(w.Gateway, "setpriv",
		append(append([]string{"--inh-caps=" + caps, "--ambient-caps=" + caps}, w.asDaemon(w.copied())...), args...)...))
}

// asDaemon are arguments of setpriv to run a program as another user.
func (w *world) asDaemon(program string) []string {
	return []string{"--reuid=" + id(w.t, "daemon"), "--regid=daemon", "--clear-groups", program}
}

// copied makes a copy of the program that everybody can run, and a directory
// for the authority that the user can write to.
func (w *world) copied() string {
	w.t.Helper()
	program := w.path("bin/transom")
	for _, dir := range []string{filepath.Dir(program), w.path("ca")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	// Not by this process: another that it starts meanwhile would have the file open.
	w.must(w.Gateway, "install", "-m", "755", find("transom"), program)
	uid, err := strconv.Atoi(id(w.t, "daemon"))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.Chown(w.path("ca"), uid, -1); err != nil {
		w.t.Fatal(err)
	}
	return program
}

// A thread is what the kernel says of one, by the words of /proc/PID/status.
type thread map[string]string

func threads(t *testing.T, pid int) (all []thread) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err != nil {
			continue // it has ended
		}
		one := thread{}
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			one[key] = strings.TrimSpace(value)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		t.Fatalf("process %d has no threads", pid)
	}
	return all
}

func (th thread) mayNothing(t *testing.T, when, uid string) {
	t.Helper()
	for key, want := range map[string]string{
		"CapEff": none, "CapPrm": none, "CapInh": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
		"Uid": strings.Join([]string{uid, uid, uid, uid}, "\t"),
	} {
		if th[key] != want {
			t.Errorf("%s, thread %s of the proxy has %s %q, want %q", when, th["Pid"], key, th[key], want)
		}
	}
}

const none = "0000000000000000"

func (th thread) mayAtMost(t *testing.T, when string, caps uint64) {
	t.Helper()
	for _, key := range []string{"CapEff", "CapPrm"} {
		has, err := strconv.ParseUint(th[key], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if has&^caps != 0 || has&(1<<sandbox.NetAdmin) == 0 {
			t.Errorf("%s, thread %s has %s %s, want %#x at most, and to steer", when, th["Pid"], key, th[key], caps)
		}
	}
	if th["NoNewPrivs"] != "1" {
		t.Errorf("%s, thread %s could get more privileges", when, th["Pid"])
	}
}

// TestGatewayOpensOwnFiles has somebody call a transom that may read every file, for the
// programs of others, and name one that is root's alone.
func TestGatewayOpensOwnFiles(t *testing.T) {
	need(t, "setpriv", "setcap")
	w := newGatewayWorld(t)
	program := w.copied()
	w.must(w.Gateway, "setcap", "cap_net_admin,cap_net_raw,cap_sys_ptrace,cap_dac_read_search+ep", program)
	secret := w.write("secret.pem", "of root's")
	if err := os.Chmod(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, w.Gateway, "2", "secret.pem: permission denied",
		append([]string{find("setpriv")}, append(w.asDaemon(program), "gateway", "--interface", "none", "--local", "--upstream-ca", secret)...))
}
