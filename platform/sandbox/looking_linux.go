//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// Who looks at other processes has rights to (CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH), and is
// told what to look for by a proxy that may have been taken over. It can't be held to
// files: for the kernel, to read where a link in /proc/PID/fd leads is to trace that process,
// which Landlock forbids to whoever it holds, unless the other is held by the same rules. So
// all files can be read; but nothing can be written or opened to be written, nothing started,
// nobody signalled or traced, nobody connected to.

// lookingCalls are allowed whatever their arguments.
var lookingCalls = [...]uintptr{
	// Files, and the sockets that are open: the pair, and the kernel's.
	unix.SYS_READ, unix.SYS_PREAD64, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_LSEEK, unix.SYS_FSTAT, fstatat, unix.SYS_STATX,
	unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN,
	// Waiting.
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2,
	unix.SYS_PPOLL, unix.SYS_FUTEX, unix.SYS_RESTART_SYSCALL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
	// Memory, threads and signals of its own.
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MEMBARRIER,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SET_TID_ADDRESS,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPENDING, unix.SYS_SIGALTSTACK,
	// Questions.
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_GETRANDOM,
}

// boundedLookingCalls are allowed for what it takes to look: those of a proxy that are its
// own affair, and opening to read.
func boundedLookingCalls() []boundedCall {
	own := slices.DeleteFunc(boundedCalls(), func(b boundedCall) bool {
		switch b.call {
		case unix.SYS_CLONE, unix.SYS_TGKILL, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_FCNTL, unix.SYS_PRCTL:
			return false
		}
		return true
	})
	const changing = unix.O_ACCMODE | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND
	toRead := []test{{arg: 2, mask: changing, values: []uint32{unix.O_RDONLY}}}
	return append(own, boundedCall{unix.SYS_OPENAT, toRead}, boundedCall{unix.SYS_OPEN_BY_HANDLE_AT, toRead})
}

// OnlyLook holds this process, on all threads and for good, to the system calls that it
// takes to look at other processes, once all that it asks by is open. It has been given its
// rights by Keep, and keeps them. The error wraps platform.ErrUnsupported if the kernel
// can't.
func OnlyLook() error {
	var r Report
	err := holdTo(programOf(slices.Concat(lookingCalls[:], archLookingCalls[:]), boundedLookingCalls()), &r)
	switch {
	case err != nil:
		return fmt.Errorf("restrict system calls with seccomp: %w", err)
	case !r.Seccomp:
		return errors.Join(errors.New(r.Missing[0]), platform.ErrUnsupported)
	}
	return nil
}
