package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform/sandbox"
)

// What gives up rights runs in processes of their own: this program again, told
// by a variable which of children it is.
const childVariable = "TRANSOM_TEST_SANDBOX"

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" {
		report := children()[name]()
		if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	labtest.Main(m)
}

// children are the processes by name. Each returns what its test looks at.
func children() map[string]func() any {
	return map[string]func() any{
		"rights":  func() any { return rights() },
		"drop":    dropToNobody,
		"stay":    dropAndStay,
		"keep":    keepRaw,
		"across":  keepAcross,
		"work":    work,
		"denied":  denied,
		"as":      as,
		"as-keep": keepAfterAs,
		"proxy":   proxy,
		"look":    look,
		"old":     dropOnAnOldKernel,

		"without-capset":    dropWithout(unix.SYS_CAPSET),
		"without-setresuid": dropWithout(unix.SYS_SETRESUID),
		"without-setresgid": dropWithout(unix.SYS_SETRESGID),
		"without-setgroups": dropWithout(unix.SYS_SETGROUPS),
		"without-prctl":     dropWithout(unix.SYS_PRCTL),
		"without-rules":     dropWithout(unix.SYS_LANDLOCK_ADD_RULE),
		"without-restrict":  dropWithout(unix.SYS_LANDLOCK_RESTRICT_SELF),
		"without-seccomp":   dropWithout(unix.SYS_SECCOMP),
	}
}

// child returns the program as a child.
func child(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	return cmd
}

// run runs a child and decodes what it reports.
func run[T any](t *testing.T, cmd *exec.Cmd) (report T) {
	t.Helper()
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, log.String())
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v in %s%s", err, out, log.String())
	}
	return report
}

// nobody is a user that every system has.
func nobody(t testing.TB) sandbox.User {
	t.Helper()
	u, err := sandbox.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// asNobody makes cmd start as nobody with caps ambient.
func asNobody(t testing.TB, cmd *exec.Cmd, caps ...sandbox.Cap) {
	t.Helper()
	needRoot(t)
	u := nobody(t)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID)}
	for _, c := range caps {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, uintptr(c))
	}
}

// asLonelyRoot makes cmd start as root of a user namespace that has nobody else.
func asLonelyRoot(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	probe := child("rights")
	probe.SysProcAttr = cmd.SysProcAttr
	err := probe.Run()
	testnet.Need(t, err == nil, fmt.Sprint("user namespaces: ", err))
}

// A thread is what the kernel says of one.
type thread map[string]string

// crowd makes threads that do nothing until they are dismissed.
func crowd() (dismiss func()) {
	var here, gone sync.WaitGroup
	leave := make(chan bool)
	for range 8 {
		here.Add(1)
		gone.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			here.Done()
			<-leave
		})
	}
	here.Wait()
	return func() {
		close(leave)
		gone.Wait()
	}
}

// rights reads what all threads have, newly made ones included.
func rights() []thread {
	defer crowd()()
	return threads()
}

func threads() []thread { return threadsOf(os.Getpid()) }

func threadsOf(pid int) (list []thread) {
	tasks := fmt.Sprintf("/proc/%d/task/", pid)
	for _, d := range must(os.ReadDir(tasks)) {
		b, err := os.ReadFile(tasks + d.Name() + "/status")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		t := thread{}
		for line := range strings.Lines(string(must(b, err))) {
			key, value, _ := strings.Cut(line, ":")
			t[key] = strings.Join(strings.Fields(value), " ")
		}
		list = append(list, t)
	}
	return list
}

// check compares what each thread has.
func check(t *testing.T, list []thread, want thread) {
	t.Helper()
	if len(list) < 5 {
		t.Fatalf("%d threads: too few to tell", len(list))
	}
	for _, got := range list {
		for key, value := range want {
			if got[key] != value {
				t.Errorf("thread %s: %s is %q, want %q", got["Pid"], key, got[key], value)
			}
		}
	}
}

// must is for children, where a panic is the report.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
