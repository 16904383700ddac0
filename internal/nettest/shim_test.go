package nettest_test

import (
	"bytes"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestShim has root install the launcher, in ways that are right and wrong, and an
// ordinary user call it, honestly and not. Of a refusal there is one line, and
// nothing is started.
func TestShim(t *testing.T) {
	const (
		allow   = "echo '/opt/bin/look games cap_net_raw' >/etc/transom/shim.conf; "
		rights  = "(?m)^Uid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\n(.*\n)*Groups:\t60 ?\n(.*\n)*CapInh:\t0000000000002000\nCapPrm:\t0000000000002000\nCapEff:\t0000000000002000\nCapBnd:\t%BND\nCapAmb:\t0000000000002000\nNoNewPrivs:\t1\n"
		refused = 126
	)
	all, one := strings.ReplaceAll(rights, "%BND", "[0-9a-f]*"), strings.ReplaceAll(rights, "%BND", "0000000000002000")
	for _, tc := range []struct {
		name, root, user string
		code             int
		want             string // of what is printed
		as               string // in place of the user
	}{
		{"set-user-id", allow, "shim /opt/bin/look cat /proc/self/status", 0, one, ""},
		{"file-capabilities", allow + "chmod 755 /opt/bin/transom-shim; setcap cap_net_raw+p /opt/bin/transom-shim; ", "shim /opt/bin/look cat /proc/self/status", 0, all, ""},
		{"more-capabilities", allow + "echo '/opt/bin/look games cap_net_raw,cap_net_admin' >/etc/transom/shim.conf", "shim /opt/bin/look cat /proc/self/status", 0, "CapEff:\t0000000000003000\n", ""},
		{"root", allow, "shim /opt/bin/look cat /proc/self/status", 0, "Uid:\t0\t0\t0\t0\n(.*\n)*CapPrm:\t0000000000002000\n", "setpriv --clear-groups"},
		{"arguments", allow, "shim /opt/bin/look printf '<%s>' 'a b' '' '*'", 0, "^<a b><><\\*>$", ""},
		{"exit-code", allow, "shim /opt/bin/look sh -c 'exit 7'", 7, "^$", ""},
		{"no-argument", allow, "shim", 2, "^transom-shim runs PROGRAM", ""},

		{"as-built", allow + "chmod 755 /opt/bin/transom-shim", "shim /opt/bin/look true", refused, "has no cap_net_raw to give: .*root has to give", ""},
		{"lesser-capabilities", allow + "chmod 755 /opt/bin/transom-shim; setcap cap_net_bind_service+p /opt/bin/transom-shim", "shim /opt/bin/look true", refused, "has no cap_net_raw to give", ""},
		{"nosuid", allow + "mkdir /opt/n; mount -t tmpfs -o nosuid,mode=755 n /opt/n; cp -p /opt/bin/transom-shim /opt/n", "/opt/n/transom-shim /opt/bin/look true", refused, "has no cap_net_raw to give", ""},
		{"no-new-privileges", allow, "setpriv --no-new-privs /opt/bin/transom-shim /opt/bin/look true", refused, "has no cap_net_raw to give", ""},
		{"no-conf", "", "shim /opt/bin/look true", refused, "shim.conf is not there: root has to write", ""},
		{"empty-conf", ": >/etc/transom/shim.conf", "shim /opt/bin/look true", refused, "/opt/bin/look is not in /etc/transom/shim.conf", ""},
		{"wrong-conf", allow + "echo x >>/etc/transom/shim.conf", "shim /opt/bin/look true", refused, "refuse /etc/transom/shim.conf: line 2: 1 words", ""},
		{"conf-of-user", allow + "chown 1 /etc/transom/shim.conf", "shim /opt/bin/look true", refused, "shim.conf belongs to uid 1", ""},
		{"conf-writable", allow + "chmod 664 /etc/transom/shim.conf", "shim /opt/bin/look true", refused, "shim.conf .mode 0664. can be changed by others", ""},
		{"conf-directory-writable", allow + "chmod 1777 /etc/transom", "shim /opt/bin/look true", refused, "/etc/transom .mode 0777. can be changed", ""},
		{"conf-link", allow + "mv /etc/transom/shim.conf /etc/c; ln -s /etc/c /etc/transom/shim.conf", "shim /opt/bin/look true", refused, "shim.conf is a symbolic link", ""},
		{"conf-directory", "mkdir /etc/transom/shim.conf", "shim /opt/bin/look true", refused, "shim.conf: it is no file", ""},

		{"other-group", allow, "shim /opt/bin/look true", refused, "only members of games may", "setpriv --reuid=1 --regid=1 --groups=50"},
		{"other-program", allow, "shim /usr/bin/env true", refused, "/usr/bin/env is not in", ""},
		{"by-name", allow, "cd /opt/bin; shim look true", refused, `"look" is not an absolute path`, ""},
		{"by-another-name", allow, "shim /opt/./bin/look true", refused, "is not in", ""},
		{"by-link", allow, "ln -s /opt/bin/look /opt/mine/look; shim /opt/mine/look true", refused, "/opt/mine/look is not in", ""},
		{"program-gone", allow + "rm /opt/bin/look", "shim /opt/bin/look true", refused, "refuse to run /opt/bin/look: .*no such file", ""},
		{"program-is-link", allow + "mv /opt/bin/look /opt/bin/l; ln -s l /opt/bin/look", "shim /opt/bin/look true", refused, "/opt/bin/look is a symbolic link", ""},
		{"program-of-user", allow + "chown 1 /opt/bin/look", "shim /opt/bin/look true", refused, "/opt/bin/look belongs to uid 1", ""},
		{"program-writable", allow + "chmod 775 /opt/bin/look", "shim /opt/bin/look true", refused, "/opt/bin/look .mode 0775. can be changed", ""},
		{"directory-of-user", "echo '/opt/mine/look games' >/etc/transom/shim.conf; cp /opt/bin/look /opt/mine/look", "shim /opt/mine/look true", refused, "/opt/mine belongs to uid 1", ""},
		{"directory-writable", allow + "chmod 1777 /opt", "shim /opt/bin/look true", refused, "/opt .mode 0777. can be changed", ""},
		{"directory-is-link", allow + "mv /opt/bin /opt/b; ln -s b /opt/bin", "shim /opt/bin/look true", refused, "/opt/bin is a symbolic link", ""},
		{"directory-mounted-over", "echo '/opt/mine/look games' >/etc/transom/shim.conf; mount -t tmpfs -o nosuid,mode=755 theirs /opt/mine; cp /opt/bin/look /opt/mine/look", "shim /opt/mine/look true", refused, "/opt/mine is on a file system that is mounted nosuid", ""},
		{"conf-directory-mounted-over", "mount -t tmpfs -o nosuid,mode=755 theirs /etc/transom; " + allow, "shim /opt/bin/look true", refused, "/etc/transom is on a file system that is mounted nosuid", ""},
		{"program-is-directory", "echo '/opt/bin games' >/etc/transom/shim.conf", "shim /opt/bin true", refused, "/opt/bin: it is no file", ""},
		{"program-with-rights", allow + "chmod u+s /opt/bin/look", "shim /opt/bin/look true", refused, "it has rights of its own", ""},
		{"program-with-capabilities", allow + "setcap cap_chown+p /opt/bin/look", "shim /opt/bin/look true", refused, "it has rights of its own", ""},
		{"script", script + "ln -s /bin/sh /opt/bin/sh; bang /opt/bin/sh", "shim /opt/bin/script", 0, "^started\n$", ""},
		{"script-by-user", script + "bang /opt/mine/sh", "shim /opt/bin/script", refused, "run by /opt/mine/sh: /opt/mine belongs to uid 1", ""},
		{"script-by-link-of-user", script + "ln -s /opt/mine/sh /opt/bin/sh; bang /opt/bin/sh", "shim /opt/bin/script", refused, "/opt/mine belongs to uid 1", ""},
		{"script-by-link-up", script + "ln -s ../../bin/sh /opt/bin/sh; bang /opt/bin/sh", "shim /opt/bin/script", 0, "^started\n$", ""},
		{"script-by-script", script + "bang /opt/mine/sh; mv /opt/bin/script /opt/bin/s; bang /opt/bin/s", "shim /opt/bin/script", refused, "/opt/mine belongs to uid 1", ""},
		{"script-by-name", script + "bang sh", "cd /bin; shim /opt/bin/script", refused, `"sh" is not an absolute path`, ""},
		{"script-by-loop", script + "ln -s sh /opt/bin/sh; bang /opt/bin/sh", "shim /opt/bin/script", refused, "too many levels of symbolic links", ""},
		{"not-executable", allow + "chmod 644 /opt/bin/look", "shim /opt/bin/look true", refused, "start /opt/bin/look: permission denied", ""},

		{
			"environment", allow, "LD_PRELOAD=/opt/mine/x.so PYTHONPATH=/opt/mine BASH_ENV=/opt/mine/x GODEBUG=x PATH=/opt/mine:$PATH HOME=/opt/mine TERM=vt100 shim /opt/bin/look",
			0, "^PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/usr/sbin\nUSER=daemon\nLOGNAME=daemon\nSHELL=/bin/sh\nPYTHONNOUSERSITE=1\nTERM=vt100\n(LC_ALL=C\n)?(TZ=UTC\n)?$", "",
		},
		{"unknown-user", allow, "HOME=/opt/mine USER=root shim /opt/bin/look", 0, "\nHOME=/\nUSER=54321\nLOGNAME=54321\n", "setpriv --reuid=54321 --regid=60 --clear-groups"},
		// 3 is what ls reads the directory by.
		{"descriptors", allow, "shim /opt/bin/look ls /proc/self/fd 7</etc/passwd 9>/opt/mine/x", 0, "^0\n1\n2\n3\n$", ""},
		{"closed-descriptors", allow, "shim /opt/bin/look sh -c 'ls -l /proc/self/fd 2>&1' <&- 2>&-", 0, "0 -> /dev/null", ""},
		{"debugger", allow, traced, refused, "has no cap_net_raw to give", ""},
		{"attach", allow, attaching, 0, "^-1 1\n$", ""},
		{"swapped", "echo '/opt/mine/d/look games' >/etc/transom/shim.conf", swapping, 0, "^$", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			need(t, "unshare", "mount", "setpriv", "setcap", "python3")
			w := newWorld(t)
			if !w.users() {
				t.Log("there are no other users in this user namespace")
				return
			}
			code, printed := w.shim(tc.root, tc.user, tc.as)
			if code != tc.code || !regexp.MustCompile(tc.want).MatchString(printed) {
				t.Errorf("exit code %d, want %d; printed\n%s\nwant %s", code, tc.code, printed, tc.want)
			}
			if code == refused && (strings.Count(printed, "\n") != 1 || !strings.HasPrefix(printed, "transom-shim: ")) {
				t.Errorf("a refusal is one line: %s", printed)
			}
		})
	}
}

// installed has root install the launcher below /opt, set-user-ID as its page says,
// and /opt/bin/look, which may be allowed. Nothing of it is there outside.
const installed = `
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir /opt/bin /opt/mine /opt/up /opt/work
chown 1 /opt/mine
mount -t overlay -o lowerdir=/etc,upperdir=/opt/up,workdir=/opt/work etc /etc
cp "$BUILT/transom-shim" "$BUILT/transom" /opt/bin/
cp /usr/bin/env /opt/bin/look
mkdir /etc/transom
chmod u+s /opt/bin/transom-shim
`

// script allows one; bang writes it, with what is to run it.
const script = "echo '/opt/bin/script games' >/etc/transom/shim.conf; cp /bin/sh /opt/mine/sh; " +
	"bang() { printf '#!%s\necho started\n' \"$1\" >/opt/bin/script; chmod 755 /opt/bin/script; }; "

// shim does what root does, and then what somebody else does, whose command shim it
// is; it returns the exit code and everything that was printed.
func (w *world) shim(root, user, as string) (int, string) {
	w.t.Helper()
	if as == "" {
		as = "setpriv --reuid=1 --regid=1 --groups=60"
	}
	cmd := w.command(w.Gateway, "unshare", "--mount", "sh", "-euc", installed+root+"\nset +e\nexec "+as+` sh -c "$CALL"`)
	cmd.Env = append(cmd.Env, "BUILT="+built.dir, "CALL=shim() { /opt/bin/transom-shim \"$@\"; }\n"+user)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), printed.String()
}

// traced runs the launcher under a debugger.
const traced = `python3 -c '
import ctypes, os, sys
ptrace = ctypes.CDLL(None).ptrace
pid = os.fork()
if pid == 0:
    ptrace(0, 0, 0, 0)
    os.execv("/opt/bin/transom-shim", ["shim", "/opt/bin/look", "true"])
while True:
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
    ptrace(7, pid, 0, 0)
'`

// attaching tries to debug what the launcher has started.
const attaching = `python3 -c '
import ctypes, subprocess
libc = ctypes.CDLL(None, use_errno=True)
p = subprocess.Popen(["/opt/bin/transom-shim", "/opt/bin/look", "sh", "-c", "echo ready; read line"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
p.stdout.readline()
print(libc.ptrace(16, p.pid, 0, 0), ctypes.get_errno())
p.communicate(b"\n")
'`

// swapping changes where a name of the user's leads, between a program that is
// allowed elsewhere and nothing, while the launcher is called by that name.
const swapping = `
mkdir /opt/mine/e
(for i in $(seq 300); do ln -sfn /opt/bin /opt/mine/d; ln -sfn /opt/mine/e /opt/mine/d; done) &
for i in $(seq 100); do shim /opt/mine/d/look echo started 2>/dev/null; done
wait`
