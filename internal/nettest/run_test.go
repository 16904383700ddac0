package nettest_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"transom/internal/testnet"
	"transom/platform/lab"
)

// A runner runs programs by transom run on the client, whose network leads to the
// server by a gateway that knows of nothing. It is an ordinary user, but without
// root, where the tests are in a user namespace that has only one.
type runner struct {
	*world
	as   []string // what goes before transom
	uid  string
	home string

	more    []string // flags
	cgroups string   // where they are, if root is to use them
}

func newRunner(t *testing.T) *runner {
	w := newWorld(t)
	w.serve(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, "page %s\n", r.URL.Path) })
	r := &runner{world: w, uid: strconv.Itoa(os.Getuid()), home: w.path("home")}
	if err := os.Mkdir(r.home, 0o755); err != nil {
		t.Fatal(err)
	}
	if u, err := user.Lookup("nobody"); err == nil && os.Getuid() == 0 && ownsUsers(t) {
		need(t, "setpriv")
		r.copied() // the one that is built may lie where others can't go
		r.uid = u.Uid
		r.as = []string{"setpriv", "--reuid=" + u.Uid, "--regid=" + u.Gid, "--clear-groups"}
		if err := errors.Join(os.Chown(r.home, atoi(t, u.Uid), -1), os.Chmod(w.authority.file, 0o644),
			os.Chmod(filepath.Dir(w.dir), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// ownsUsers reports whether there are other users here than root.
func ownsUsers(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), "4294967295")
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// transom is where the program is, for who runs it.
func (r *runner) transom() string {
	if r.as != nil {
		return r.path("bin/transom")
	}
	return find("transom")
}

// program returns transom run with args, which are its own and the program's.
func (r *runner) program(args ...string) *lab.Cmd {
	all := append(append([]string{}, r.as...), append([]string{r.transom(), "run", "--upstream-ca", r.authority.file}, append(r.more, args...)...)...)
	cmd := r.command(r.Client, all[0], all[1:]...)
	cmd.Env = append(cmd.Env, "HOME="+r.home)
	return cmd
}

// run runs it to its end.
func (r *runner) run(args ...string) (stdout, stderr string, code int) {
	r.t.Helper()
	cmd := r.program(args...)
	out, errs := newOutput(), newOutput()
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		r.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// TestRunIsTransparent compares what a program is, gets and gives with how it is
// without transom.
func TestRunIsTransparent(t *testing.T) {
	r := newRunner(t)
	type transparent struct {
		args   []string
		stdin  string
		stdout string
		stderr string // a part of it
		code   int
	}
	tests := map[string]transparent{
		"id":             {args: []string{"id", "-u"}, stdout: r.uid + "\n"},
		"exit-code":      {args: []string{"sh", "-c", "exit 7"}, code: 7},
		"signal":         {args: []string{"sh", "-c", "kill -KILL $$"}, code: 137},
		"stdin":          {args: []string{"cat"}, stdin: "abc\n", stdout: "abc\n"},
		"stderr":         {args: []string{"sh", "-c", "echo x >&2"}, stderr: "x\n"},
		"options-of-its": {args: []string{"echo", "-n", "--json"}, stdout: "--json"},
		"separator":      {args: []string{"--", "echo", "--", "x"}, stdout: "-- x\n"},
		"not-found":      {args: []string{"nonexistent-program"}, stderr: "nonexistent-program: command not found", code: 127},
		"not-executable": {args: []string{"/etc/passwd"}, stderr: "/etc/passwd: not executable", code: 126},
		"directory":      {args: []string{"/etc"}, stderr: "/etc: is a directory", code: 126},
		"no-name":        {args: []string{""}, stderr: "the name of the program is empty", code: 127},
		"built-in":       {args: []string{"cd", "/"}, stderr: "a part of the shell", code: 127},
		"within":         {args: []string{r.transom(), "run", "true"}, stderr: "inside transom run already", code: 1},
		"key-within":     {args: []string{r.transom(), "ca", "show"}, stderr: "the authority's key is hidden", code: 1},
		"shell":          {stdin: "echo $- $TRANSOM; exit 4", stdout: "s run\n", code: 4},
		"quic":           {args: []string{"--quic", "intercept", "true"}, stderr: "want reject or pass", code: 2},
		"descriptor":     {args: []string{"-o", "&1", "curl", "-sS", "-o", os.DevNull, "http://" + lab.ServerAddr4 + "/x"}, stdout: "GET"},
		"stdout":         {args: []string{"-o", "-", "curl", "-sS", "-o", os.DevNull, "http://" + lab.ServerAddr4 + "/x"}, stdout: "GET"},
		"refused":        {args: []string{"curl", "-sS", "http://" + lab.ServerAddr4 + ":81/x"}, stderr: "refused", code: 56},
		"localhost":      {args: []string{"curl", "-sS", "http://127.0.0.1:1/x"}, stderr: "connect", code: 7},
	}
	if r.uid != "0" { // who is root is root of its own namespace, which is of no use
		tests["capabilities"] = transparent{args: []string{"sh", "-c", "grep -E '^(CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs)' /proc/self/status | grep -c 0$"}, stdout: "5\n"}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if name == "descriptor" || name == "stdout" || name == "refused" || name == "localhost" {
				need(t, "curl")
			}
			cmd := r.program(tt.args...)
			out, errs := newOutput(), newOutput()
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(tt.stdin), out, errs
			_ = cmd.Run() // how it ended is looked at
			code := cmd.ProcessState.ExitCode()
			same := out.String() == tt.stdout || (name == "descriptor" || name == "stdout") && strings.Contains(out.String(), tt.stdout)
			if name == "refused" && (code == 7 || code == 52 || code == 55) { // the reset came sooner: before curl's look at the connection, or its request
				code = 56
			}
			if !same || !strings.Contains(errs.String(), tt.stderr) || code != tt.code {
				t.Errorf("exit code %d, want %d\nstdout %q, want %q\nstderr %q, want %q", code, tt.code, out, tt.stdout, errs, tt.stderr)
			}
		})
	}
}

// TestRunLetsGo has a program close its output before it ends.
func TestRunLetsGo(t *testing.T) {
	r := newRunner(t)
	r.run("true") // which says that it made an authority
	shell := r.command(r.Client, "sh", "-c", `"$@" | { cat; echo closed >&2; kill -TERM $(cat pid); }`, "sh")
	program := r.program("sh", "-c", "echo $$ > "+filepath.Join(r.home, "pid")+"; exec >&-; exec sleep 1000")
	shell.Args = append(shell.Args, program.Args...)
	shell.Args[4] = program.Path
	shell.Env, shell.Dir = program.Env, r.home
	out, err := shell.CombinedOutput()
	if err != nil || string(out) != "closed\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRunLeavesNothing looks for what a program has left behind.
func TestRunLeavesNothing(t *testing.T) {
	r := newRunner(t)
	mounts := r.read("/proc/self/mountinfo")
	stdout, stderr, code := r.run("sh", "-c", "sleep 1000 & echo $!; setsid sleep 1000 & echo $!; exit 3")
	if code != 3 || len(strings.Fields(stdout)) != 2 {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	for _, pid := range strings.Fields(stdout) {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s lives", pid)
		}
	}
	if now := r.read("/proc/self/mountinfo"); now != mounts {
		t.Errorf("mounts were\n%s\nand are\n%s", mounts, now)
	}
	entries, err := os.ReadDir(r.home)
	if err != nil || len(entries) != 1 || entries[0].Name() != ".config" { // the authority's
		t.Errorf("%v, %v", entries, err)
	}
}

// TestRunForbidden has user namespaces forbidden by a setting.
func TestRunForbidden(t *testing.T) {
	need(t, "unshare")
	w := newWorld(t)
	out, err := w.command(w.Client, "unshare", "--user", "--map-root-user", "sh", "-c",
		"echo 0 > /proc/sys/user/max_user_namespaces; exec transom run true").CombinedOutput()
	testnet.Need(t, !strings.Contains(string(out), "unshare:"), "user namespaces in user namespaces")
	if text := string(out); err == nil || !strings.Contains(text, "user.max_user_namespaces=0") || !strings.Contains(text, "sysctl -w user.max_user_namespaces=") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRunPipes has programs amid pipes, whose ends are seen as without transom.
func TestRunPipes(t *testing.T) {
	for script, want := range map[string]string{
		`"$@" yes | head -n 2; echo ${PIPESTATUS[0]}`:                             "y\ny\n141\n",
		`head -c 5000000 /dev/zero | "$@" cat | wc -c`:                            "5000000\n",
		`head -c 5000000 /dev/zero | "$@" sh -c 'tr "\\0" x | wc -c; echo done'`:  "5000000\ndone\n",
		`echo abc | "$@" sh -c 'read x; echo $x; cat >&2' 2>&1 | "$@" tr a-z A-Z`: "ABC\n",
		`exec 7< <(echo seven); "$@" sh -c 'cat <&7'`:                             "seven\n",
		`"$@" sh -c 'echo out; echo err >&2' 2>/dev/null`:                         "out\n",
		`"$@" sh -c 'test -t 0 || echo none' </dev/null`:                          "none\n",
	} {
		t.Run(script, func(t *testing.T) {
			need(t, "bash")
			r := newRunner(t)
			r.run("true") // which says that it made an authority
			program := r.program("-q", "--")
			shell := r.command(r.Client, "bash", append([]string{"-c", script, "bash"}, program.Args...)...)
			shell.Env = program.Env
			if out, err := shell.CombinedOutput(); err != nil || string(out) != want {
				t.Errorf("%v: %q, want %q", err, out, want)
			}
		})
	}
}
