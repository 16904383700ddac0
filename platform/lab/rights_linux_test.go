package lab_test

import (
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// startWithoutRights starts cmd with no capability but CAP_SETFCAP, without
// which root could not be root in a user namespace either. They are taken from
// a thread's bounding set; the thread ends.
func startWithoutRights(cmd *exec.Cmd) error {
	err := make(chan error)
	go func() {
		runtime.LockOSThread()
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if c != unix.CAP_SETFCAP {
				_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // EINVAL: the kernel has no such capability
			}
		}
		err <- cmd.Start()
	}()
	return <-err
}

func notify() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	return c
}

func goexit() { runtime.Goexit() }
