package rootless

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignalThose: who is a member no more when it is held is somebody else.
func TestSignalThose(t *testing.T) {
	child := exec.Command("/bin/sh", "-c", "read x")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	pid, all := child.Process.Pid, []int{child.Process.Pid, gone.Process.Pid}
	for _, now := range [][]int{nil, {os.Getpid()}} {
		if told := signalThose(all, func() []int { return now }, unix.SIGKILL); len(told) > 0 {
			t.Errorf("members are %v, and told were %v", now, told)
		}
	}
	if told := signalThose(all, func() []int { return all }, unix.SIGTERM); !slices.Equal(told, all[:1]) {
		t.Errorf("told: %v, want %v", told, all[:1])
	}
	err = child.Wait()
	in.Close()
	if s := child.ProcessState.Sys(); s == nil || fmt.Sprint(err) != "signal: terminated" {
		t.Errorf("process %d: %v", pid, err)
	}
}

// TestTidy removes what a dead maker has left, and leaves alone what one that lives
// has, and what belongs to another container, whose numbers say nothing here.
func TestTidy(t *testing.T) {
	ours, err := cgroupNames()
	if err != nil {
		t.Fatal(err)
	}
	const nobody = 1 << 23 // more than the kernel gives
	dir := t.TempDir()
	stays := []string{fmt.Sprint(ours, os.Getppid()), fmt.Sprint("transom-1-", nobody), fmt.Sprint("x", ours, nobody), ours}
	for _, name := range append([]string{fmt.Sprint(ours, nobody), fmt.Sprint(ours, os.Getpid())}, stays...) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tidy(dir, ours)
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	slices.Sort(stays)
	if !slices.Equal(left, stays) {
		t.Errorf("left are %q, want %q", left, stays)
	}
}
