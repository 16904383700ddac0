package platform_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"transom/internal/testnet"
	"transom/platform"
)

// TestLockedElsewhere: who has a lock is found if it is somewhere else, and only then.
func TestLockedElsewhere(t *testing.T) {
	_, err := exec.LookPath("flock")
	testnet.Need(t, err == nil, "the program flock")
	name := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, ok := platform.LockedElsewhere(name); ok {
		t.Errorf("nobody is %d", pid)
	}
	for _, elsewhere := range []bool{false, true} {
		cmd := exec.Command("flock", name, "sh", "-c", "echo locked; cat")
		if elsewhere {
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
				UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
			}
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			testnet.Need(t, false, "user and network namespaces: "+err.Error())
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Error(err)
		}
		if pid, ok := platform.LockedElsewhere(name); ok != elsewhere || ok && pid != cmd.Process.Pid {
			t.Errorf("elsewhere %v: process %d, %v, want %d", elsewhere, pid, ok, cmd.Process.Pid)
		}
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
