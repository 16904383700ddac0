package sandbox_test

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"transom/platform/sandbox"
)

// fail makes system calls fail in this process, as if the kernel lacked or forbade
// them.
func fail(with unix.Errno, calls ...uint32) {
	var f []unix.SockFilter
	add := func(code uint16, jt, jf uint8, k uint32) {
		f = append(f, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
	}
	add(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, 0)
	for _, call := range calls {
		add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, call)
		add(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ERRNO|uint32(with))
	}
	add(unix.BPF_RET|unix.BPF_K, 0, 0, unix.SECCOMP_RET_ALLOW)
	prog := &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	must(0, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(prog)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		panic(errno)
	}
}

// dropOnAnOldKernel has neither Landlock nor seccomp.
func dropOnAnOldKernel() any {
	fail(unix.ENOSYS, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_SECCOMP)
	return dropToNobody()
}

func TestDropOnAnOldKernel(t *testing.T) {
	u, _ := sandbox.Within(nobody(t))
	got := run[dropped](t, child("old"))
	check(t, got.Threads, with(none(), ids(u)))
	missing := strings.Join(got.Report.Missing, "\n")
	if got.Report.Landlock != 0 || got.Report.Seccomp || !strings.Contains(missing, "no Landlock") || !strings.Contains(missing, "no seccomp") {
		t.Errorf("%+v", got.Report)
	}
	if !strings.Contains(got.Line, "no Landlock, no seccomp") {
		t.Errorf("says %q", got.Line)
	}
}

// dropWithout returns a child whose Drop can't make a call.
func dropWithout(call uint32) func() any {
	return func() any {
		fail(unix.EPERM, call)
		u := must(sandbox.Lookup("nobody"))
		_, err := sandbox.Drop(sandbox.Options{User: &u})
		if err == nil {
			return ""
		}
		return err.Error()
	}
}

// What would leave rights is an error.
func TestDropFails(t *testing.T) {
	tests := map[string]struct {
		child   string
		prepare func(testing.TB, *exec.Cmd)
		want    string
	}{
		"capset":       {"without-capset", func(testing.TB, *exec.Cmd) {}, "capabilities"},
		"setresuid":    {"without-setresuid", func(t testing.TB, _ *exec.Cmd) { needRoot(t) }, "become uid"},
		"setresgid":    {"without-setresgid", func(t testing.TB, _ *exec.Cmd) { needRoot(t) }, "become gid"},
		"setgroups":    {"without-setgroups", func(t testing.TB, _ *exec.Cmd) { needRoot(t) }, "groups of nobody"},
		"prctl":        {"without-prctl", func(testing.TB, *exec.Cmd) {}, "no_new_privs"},
		"add-a-rule":   {"without-rules", func(testing.TB, *exec.Cmd) {}, "Landlock"},
		"restrict":     {"without-restrict", func(testing.TB, *exec.Cmd) {}, "Landlock"},
		"use-a-filter": {"without-seccomp", func(testing.TB, *exec.Cmd) {}, "seccomp"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := child(tt.child)
			tt.prepare(t, cmd)
			if got := run[string](t, cmd); !strings.Contains(got, tt.want) || !strings.Contains(got, "not permitted") {
				t.Errorf("%q, want one about %s", got, tt.want)
			}
		})
	}
}
