package platform

import "golang.org/x/sys/unix"

// Given reports whether the process was started with a descriptor: what it opens
// itself closes when it starts another, and this one didn't.
func Given(fd uintptr) bool {
	flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
	return err == nil && flags&unix.FD_CLOEXEC == 0
}
