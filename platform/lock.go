package platform

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked says that somebody else holds a lock.
var ErrLocked = errors.New("locked by another process")

// LockFile locks an open file for this process, or fails with ErrLocked at once. The
// lock ends when f is closed, also by the death of the process.
func LockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return os.NewSyscallError("flock", err)
}

// FileLocked reports whether somebody has an open file locked. A LockFile in the same
// moment may fail.
func FileLocked(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	return false, os.NewSyscallError("flock", err)
}
