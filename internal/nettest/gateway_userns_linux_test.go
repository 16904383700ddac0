package nettest_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestGatewayInUserNamespace runs some of these tests once more in a user
// namespace, where there is no other user and no right over the machine.
// Without root all of them run there in any case.
func TestGatewayInUserNamespace(t *testing.T) {
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), "4294967295") {
		t.Log("this is one")
		return
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.v", "-test.run",
		"^TestGateway(Matrix|LeavesNothing|HelperDies|Privilege)$/^(.*-ip.port|proxy-and-helper-.*|all-.*|tproxy|root)$")
	out, err := outputWithoutRights(cmd)
	if err != nil || !strings.Contains(out, "--- PASS: TestGatewayMatrix/") || !strings.Contains(out, "--- PASS: TestGatewayPrivilege/root ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// outputWithoutRights runs cmd with no capability but CAP_SETFCAP, without which
// root could not be root in a user namespace either. They are taken from a
// thread's bounding set; the thread ends.
func outputWithoutRights(cmd *exec.Cmd) (out string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if c != unix.CAP_SETFCAP {
				_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // EINVAL: the kernel has no such capability
			}
		}
		var b []byte
		b, err = cmd.CombinedOutput()
		out = string(b)
	}()
	<-done
	return out, err
}
