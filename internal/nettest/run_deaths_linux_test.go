package nettest_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRunDeaths kills each process in turn, with what the program has started gone
// into a session of its own: nothing is left, and nothing goes on that is not captured.
func TestRunDeaths(t *testing.T) {
	for _, who := range []string{"proxy", "guard", "keeper", "program", "nobody"} {
		t.Run(who, func(t *testing.T) { newRunner(t).die(who) })
	}
	for _, who := range []string{"proxy", "guard", "keeper", "watch", "helper", "program", "nobody"} {
		t.Run(who+"-by-root", func(t *testing.T) { newRootRunner(t).die(who) })
	}
}

// die kills who, while a program runs, and looks for what is left.
func (r *runner) die(who string) {
	t := r.t
	before, mounts := r.state(r.Client), r.read("/proc/self/mountinfo")
	cmd := r.program("sh", "-c", "echo $$ > "+filepath.Join(r.home, "pid")+"; setsid sleep 1000 & exec sleep 1000")
	errs := newOutput()
	cmd.Stderr = errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidFile := filepath.Join(r.home, "pid")
	eventually(t, "the program to run", func() bool {
		b, err := os.ReadFile(pidFile)
		return err == nil && strings.HasSuffix(string(b), "\n")
	})
	proxy := cmd.Process.Pid
	all := append(r.below(proxy), proxy)
	cgroup := r.cgroupOf(proxy)
	if _, err := os.Stat(cgroup); err != nil && r.cgroups != "" {
		t.Error(err)
	}
	switch who {
	case "proxy":
		kill(t, proxy)
	case "program":
		kill(t, atoi(t, strings.TrimSpace(r.read(pidFile))))
	case "nobody":
	default:
		kill(t, r.kind(proxy, map[string]string{"guard": "guard", "keeper": "keep", "watch": "watch", "helper": "serve"}[who]))
	}
	if who == "helper" || who == "nobody" { // which goes on
		signalTo(t, proxy, syscall.SIGTERM)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Error(err)
	}
	r.restored(r.Client, before)
	eventually(t, "the cgroup to go", func() bool {
		_, err := os.Stat(cgroup)
		return errors.Is(err, os.ErrNotExist)
	})
	for _, pid := range all {
		eventually(t, fmt.Sprintf("process %d to go", pid), func() bool {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || strings.Contains(string(b), ") Z ")
		})
	}
	if now := r.read("/proc/self/mountinfo"); now != mounts {
		t.Errorf("mounts were\n%s\nand are\n%s", mounts, now)
	}
	if t.Failed() {
		t.Log(errs.String())
	}
}

// below are all processes that a process has started, and those that these have.
func (r *runner) below(pid int) (all []int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err == nil {
		b = nil
		for _, thread := range threads {
			of, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name()))
			if err == nil {
				b = append(append(b, of...), ' ')
			}
		}
	}
	for _, word := range strings.Fields(string(b)) {
		child := atoi(r.t, word)
		all = append(append(all, child), r.below(child)...)
	}
	return all
}

// kind finds the process that is "transom helper KIND" below another.
func (r *runner) kind(pid int, kind string) int {
	r.t.Helper()
	for _, p := range r.below(pid) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
		if err == nil && strings.Contains(string(b), "helper\x00"+kind+"\x00") {
			return p
		}
	}
	r.t.Fatalf("there is no process %s below %d", kind, pid)
	return 0
}
