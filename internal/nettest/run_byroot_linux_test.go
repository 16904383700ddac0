package nettest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"transom/internal/testnet"
	"transom/platform/lab"
)

// newRootRunner returns a runner that is root on behalf of somebody, as by sudo.
func newRootRunner(t *testing.T) *runner {
	t.Helper()
	testnet.Need(t, os.Getuid() == 0 && ownsUsers(t), "root, and users besides")
	dir, err := cgroups()
	testnet.Need(t, err == nil, fmt.Sprint("cgroups of version 2: ", err))
	r := newRunner(t)
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	r.as, r.cgroups = []string{"env", "SUDO_UID=" + u.Uid, "SUDO_GID=" + u.Gid, "SUDO_USER=nobody"}, dir
	r.more = []string{"--ca-dir", filepath.Join(r.home, "ca")}
	return r
}

// cgroups is where version 2 is mounted, if something can be made there.
func cgroups() (string, error) {
	for _, dir := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			continue
		}
		made, err := os.MkdirTemp(dir, "transom-test-")
		if err != nil {
			return "", err
		}
		return dir, os.Remove(made)
	}
	return "", os.ErrNotExist
}

// cgroupOf is the cgroup that the process transom makes, named for its namespace of
// processes and its pid there.
func (r *runner) cgroupOf(transom int) string {
	ns, err := os.Stat(fmt.Sprintf("/proc/%d/ns/pid", transom))
	if err != nil {
		r.t.Fatal(err)
	}
	return filepath.Join(r.cgroups, fmt.Sprintf("transom-%d-%d", ns.Sys().(*syscall.Stat_t).Ino, transom))
}

// flows reads what was recorded, as objects.
func (r *runner) flows() (all []map[string]any) {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.home, "flows"))
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var one map[string]any
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// TestRunByRootPrograms has stock programs ask for a page by HTTPS, over IPv4 and
// IPv6.
func TestRunByRootPrograms(t *testing.T) {
	programs := map[string][]string{
		"curl":    {"curl", "-sS", "URL"},
		"python3": {"python3", "-c", "import urllib.request as u; print(u.urlopen('URL').read().decode())"},
	}
	for name, args := range programs {
		for _, host := range []string{lab.ServerAddr4, "[" + lab.ServerAddr6 + "]"} {
			t.Run(name+"-"+host, func(t *testing.T) {
				need(t, name)
				r := newRootRunner(t)
				before := r.state(r.Client)
				args := append([]string{"-o", filepath.Join(r.home, "flows"), "--json", "--"}, args...)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "URL", "https://"+host+"/it")
				}
				stdout, stderr, code := r.run(args...)
				b, _ := os.ReadFile(filepath.Join(r.home, "flows")) // what is missing is seen below
				flows := string(b)
				if code != 0 || !strings.Contains(stdout, "page /it") || !strings.Contains(flows, `"url":"https://`) || !strings.Contains(flows, `"status":200`) {
					t.Errorf("exit code %d\n%s%s%s", code, stdout, stderr, flows)
				}
				r.restored(r.Client, before)
			})
		}
	}
}

// TestRunByRootIsTransparent compares what a program is, gets and gives with how it
// is without transom.
func TestRunByRootIsTransparent(t *testing.T) {
	r := newRootRunner(t)
	const status = "grep -E '^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs)' /proc/self/status"
	none := ""
	for _, set := range []string{"Inh", "Prm", "Eff", "Amb"} {
		none += "Cap" + set + ":\t0000000000000000\n"
	}
	tests := map[string]struct {
		args   []string
		stdin  string
		stdout string
		stderr string // a part of it
		code   int
	}{
		"id":           {args: []string{"sh", "-c", "id -u; id -g; echo $USER $HOME $SUDO_USER"}, stdout: r.uid + "\n" + r.gid() + "\nnobody " + nobodysHome(t) + "\n"},
		"capabilities": {args: []string{"sh", "-c", status}, stdout: none + "NoNewPrivs:\t1\n"},
		"exit-code":    {args: []string{"sh", "-c", "exit 7"}, code: 7},
		"signal":       {args: []string{"sh", "-c", "kill -KILL $$"}, code: 137},
		"stdin":        {args: []string{"cat"}, stdin: "abc\n", stdout: "abc\n"},
		"stderr":       {args: []string{"sh", "-c", "echo x >&2"}, stderr: "x\n"},
		"not-found":    {args: []string{"nonexistent-program"}, stderr: "nonexistent-program: command not found", code: 127},
		"key":          {args: []string{"ls", filepath.Join(r.home, "ca")}, stdout: "", stderr: ""},
	}
	for name, tt := range tests {
		// One after the other: there is one transom to a network.
		cmd := r.program(tt.args...)
		out, errs := newOutput(), newOutput()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(tt.stdin), out, errs
		_ = cmd.Run() // how it ended is looked at
		hidesKey := name == "key" && !strings.Contains(out.String(), "key")
		if !hidesKey && out.String() != tt.stdout || !strings.Contains(errs.String(), tt.stderr) || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("%s: exit code %d, want %d\nstdout %q, want %q\nstderr %q, want %q", name, cmd.ProcessState.ExitCode(), tt.code, out, tt.stdout, errs, tt.stderr)
		}
	}
}

func nobodysHome(t *testing.T) string {
	t.Helper()
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	return u.HomeDir
}

func (r *runner) gid() string {
	u, err := user.LookupId(r.uid)
	if err != nil {
		r.t.Fatal(err)
	}
	return u.Gid
}

// TestRunByRootForbidden has user namespaces forbidden by a setting, where root does
// it without. The network is one that has nobody else in it.
func TestRunByRootForbidden(t *testing.T) {
	need(t, "unshare", "ip", "curl")
	r := newRootRunner(t)
	const script = `
echo 0 > /proc/sys/user/max_user_namespaces
ip link set lo up
ip link add veth0 type veth peer name veth1
ip link set veth0 up
ip link set veth1 up
ip addr add 192.0.2.1/24 dev veth0
ip neigh add 192.0.2.7 lladdr 02:00:00:00:00:07 dev veth0
exec transom run --ca-dir "$1" -o "$2" curl -sS -m 10 http://192.0.2.7/nowhere`
	if err := os.Chmod(r.home, 0o777); err != nil {
		t.Fatal(err)
	}
	cmd := r.command(r.Client, "unshare", "--user", "--map-root-user", "--net", "sh", "-c", script, "sh", filepath.Join(r.home, "ca"), filepath.Join(r.home, "flows"))
	out, err := cmd.CombinedOutput()
	testnet.Need(t, !strings.Contains(string(out), "unshare:"), "user namespaces in user namespaces")
	flows, _ := os.ReadFile(filepath.Join(r.home, "flows")) // what is missing is seen below
	if err == nil || !strings.Contains(string(out), "curl:") || !strings.Contains(string(flows), "192.0.2.7") {
		t.Errorf("%v: %s%s", err, out, flows)
	}
}
