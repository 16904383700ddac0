package sandbox_test

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/platform/sandbox"
)

// A dropped is what a process reports that has given up its rights.
type dropped struct {
	Report  sandbox.Report
	Line    string // Report.String
	Threads []thread
}

func dropToNobody() any {
	u := must(sandbox.Lookup("nobody"))
	return drop(&u)
}

func dropAndStay() any { return drop(nil) }

func drop(u *sandbox.User) dropped {
	defer crowd()()
	r := must(sandbox.Drop(sandbox.Options{User: u, Read: []string{"/proc"}}))
	return dropped{r, r.String(), rights()}
}

// none is what is left of rights.
func none() thread {
	return thread{
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2",
	}
}

// with adds to a thread.
func with(t thread, more thread) thread {
	for k, v := range more {
		t[k] = v
	}
	return t
}

// ids is a thread of a user and of its group alone.
func ids(u sandbox.User) thread {
	all := strings.Fields(strings.Repeat(itoa(u.UID)+" ", 4))
	groups := strings.Fields(strings.Repeat(itoa(u.GID)+" ", 4))
	return thread{"Uid": strings.Join(all, " "), "Gid": strings.Join(groups, " ")}
}

func TestDropOfRoot(t *testing.T) {
	u := nobody(t)
	needRoot(t)
	got := run[dropped](t, child("drop"))
	want := with(with(none(), ids(u)), thread{"Groups": itoa(u.GID), "CapBnd": "0000000000000000"})
	check(t, got.Threads, want)
	if len(got.Report.Missing) != 0 || got.Report.User.UID != u.UID || !got.Report.Seccomp {
		t.Errorf("%+v", got.Report)
	}
}

// Whoever started the process, nothing is left.
func TestDrop(t *testing.T) {
	u := nobody(t)
	stays := ""
	if os.Geteuid() == 0 {
		stays = "uid 0 still"
	}
	tests := map[string]struct {
		child   string
		prepare func(testing.TB, *exec.Cmd)
		want    thread
		missing string // in a sentence of the report
	}{
		"as-we-are": {"stay", func(testing.TB, *exec.Cmd) {}, ids(sandbox.Self()), stays},
		"ambient":   {"stay", func(t testing.TB, cmd *exec.Cmd) { asNobody(t, cmd, sandbox.NetAdmin, sandbox.NetRaw) }, ids(u), ""},
		"ambient-and-setpcap": {
			"stay",
			func(t testing.TB, cmd *exec.Cmd) { asNobody(t, cmd, sandbox.NetAdmin, sandbox.Cap(8)) },
			with(ids(u), thread{"CapBnd": "0000000000000000"}), "",
		},
		"unprivileged":          {"stay", func(t testing.TB, cmd *exec.Cmd) { asNobody(t, cmd) }, ids(u), ""},
		"already-the-user":      {"drop", func(t testing.TB, cmd *exec.Cmd) { asNobody(t, cmd, sandbox.NetRaw) }, ids(u), ""},
		"file-capabilities":     {"stay", func(t testing.TB, cmd *exec.Cmd) { byFile(t, cmd, true) }, ids(u), ""},
		"file-only-permits":     {"stay", func(t testing.TB, cmd *exec.Cmd) { byFile(t, cmd, false) }, ids(u), ""},
		"root-of-a-namespace":   {"stay", asLonelyRoot, thread{"Uid": "0 0 0 0", "CapBnd": "0000000000000000"}, "uid 0 still"},
		"nobody-in-a-namespace": {"drop", asLonelyRoot, thread{"Uid": "0 0 0 0", "CapBnd": "0000000000000000"}, "has no uid"},
		"cannot-become":         {"drop", asDaemon, thread{"Uid": "1 1 1 1"}, "without cap_setuid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := child(tt.child)
			tt.prepare(t, cmd)
			got := run[dropped](t, cmd)
			check(t, got.Threads, with(none(), tt.want))
			missing := strings.Join(got.Report.Missing, "\n")
			if tt.missing == "" && missing != "" || !strings.Contains(missing, tt.missing) {
				t.Errorf("missing is %q, want %q", missing, tt.missing)
			}
		})
	}
}

// asDaemon makes cmd start as one who has a capability, but none to become
// somebody else.
func asDaemon(t testing.TB, cmd *exec.Cmd) {
	asNobody(t, cmd, sandbox.NetRaw)
	cmd.SysProcAttr.Credential.Uid, cmd.SysProcAttr.Credential.Gid = 1, 1
}

// byFile makes cmd start as nobody from a copy of this program whose file has
// capabilities.
func byFile(t testing.TB, cmd *exec.Cmd, effective bool) {
	t.Helper()
	asNobody(t, cmd)
	cmd.Path = filepath.Join(passable(t), "program")
	if err := copyProgram(cmd.Path); err != nil {
		t.Fatal(err)
	}
	// struct vfs_cap_data of linux/capability.h, revision 2.
	magic := uint32(0x02000000)
	if effective {
		magic |= 1
	}
	var b []byte
	for _, v := range []uint32{magic, uint32(sandbox.SetOf(sandbox.NetAdmin, sandbox.NetRaw)), 0, 0, 0} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	err := unix.Setxattr(cmd.Path, "security.capability", b, 0)
	testnet.Need(t, err == nil, "a file system with capabilities of files")
}

// passable returns a temporary directory that everybody can pass through.
func passable(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func copyProgram(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
