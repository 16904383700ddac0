package sandbox

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// BecomeReal is for a program whose file has rights, as its owner's (set-user-ID)
// or as file capabilities: on all threads it becomes whoever called it, whose groups
// it has had all along, and gives up everything but caps, which programs started
// from here have too (see KeepAcross). Descriptors above 2, which the caller may
// have left open, are closed by exec.
//
// The error says what is lacking; the process must not go on then.
func BecomeReal(caps ...Cap) error {
	held, err := Held()
	if err != nil {
		return err
	}
	if lack := held.Missing(caps...); lack != 0 {
		return fmt.Errorf("this process has no %s to give: %w", lack, unix.EPERM)
	}
	if err := closeInherited(); err != nil {
		return err
	}
	if err := prctl(unix.PR_SET_KEEPCAPS, 1, 0); err != nil { // exec takes it back
		return fmt.Errorf("keep the capabilities of another uid: %w", err)
	}
	u := Self()
	u.UID, u.GID = os.Getuid(), os.Getgid()
	if err := become(u); err != nil {
		return err
	}
	return KeepAcross(caps...)
}

// closeInherited has exec close what was open before this program began. Its own
// files are closed by exec anyway.
func closeInherited() error {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("find descriptors that were left open: %w", err)
	}
	for _, e := range open {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return fmt.Errorf("descriptor %q: %w", e.Name(), err)
		}
		if fd > 2 {
			unix.CloseOnExec(fd) // the one of ReadDir is gone
		}
	}
	return nil
}
