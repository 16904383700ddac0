package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// insideVariable tells a process that Reexec started it. It is taken out of the
// environment at once: the process's own children are not inside for it.
const insideVariable = "TRANSOM_LAB_INSIDE"

// Reexec makes sure that the program may make network namespaces. It is called
// first thing in main or TestMain, before anything is open or running.
//
// If the process has the right, as root or because Reexec started it, done is
// false and it goes on. Otherwise Reexec runs the same program with the same
// arguments in new user, mount and network namespaces, where it is root, passes
// on signals, and waits; then done is true and the caller exits with code at
// once. The program inside dies if this process does. If that is forbidden, err
// says by what and what to do.
func Reexec() (done bool, code int, err error) {
	if os.Getenv(insideVariable) != "" {
		os.Unsetenv(insideVariable)
		return false, 0, nil
	}
	if tryNamespace() == nil {
		return false, 0, nil
	}
	code, err = runInside()
	if err != nil {
		return false, 0, err
	}
	return true, code, nil
}

// tryNamespace makes a network namespace and drops it, with its thread.
func tryNamespace() error {
	err := make(chan error)
	go offMain(func() {
		runtime.LockOSThread()
		err <- unix.Unshare(unix.CLONE_NEWNET)
	})
	return <-err
}

func runInside() (int, error) {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
	// The child dies with the thread that started it, so this one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("enter a user namespace: %w", platform.ExplainNamespaces(err, "run as root"))
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if !sentByTerminal(s) {
				_ = cmd.Process.Signal(s) // it may have ended meanwhile
			}
		case err := <-ended:
			return exitCode(cmd.ProcessState, err)
		}
	}
}

// exitCode is a shell's: 128 and the signal's number for a killed program.
func exitCode(s *os.ProcessState, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for the program inside the user namespace: %w", err)
	}
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal()), nil
	}
	return s.ExitCode(), nil
}

// sentByTerminal reports whether a terminal has sent s to the program inside as
// well, which is of the same process group: passed on, it would come twice.
func sentByTerminal(s os.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	front, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && front == unix.Getpgrp()
}
