//go:build amd64 || arm64

package sandbox

import (
	"os"

	"golang.org/x/sys/unix"
)

// The system calls of a proxy at work: what Go's runtime and library make on
// amd64 and arm64, and what the store and a splice need. Not among them, on
// purpose: bind, listen, execve, fork, ptrace, mount, unshare, setns, bpf, keyctl,
// io_uring, userfaultfd, perf_event_open, memfd_create, process_vm_*, and whatever
// changes ids, capabilities, modules, clocks or namespaces.

// freeCalls are allowed whatever their arguments.
var freeCalls = [...]uintptr{
	// Files. Which may be opened is Landlock's.
	unix.SYS_READ, unix.SYS_READV, unix.SYS_PREAD64, unix.SYS_PREADV,
	unix.SYS_WRITE, unix.SYS_WRITEV, unix.SYS_PWRITE64, unix.SYS_PWRITEV,
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_CLOSE, unix.SYS_CLOSE_RANGE, unix.SYS_LSEEK, unix.SYS_FSTAT, fstatat, unix.SYS_STATX,
	unix.SYS_STATFS, unix.SYS_FSTATFS, unix.SYS_READLINKAT, unix.SYS_GETDENTS64, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2,
	unix.SYS_FLOCK, unix.SYS_DUP, unix.SYS_DUP3, unix.SYS_PIPE2, unix.SYS_GETCWD, unix.SYS_UMASK,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FTRUNCATE, unix.SYS_FALLOCATE, unix.SYS_FADVISE64, unix.SYS_FCHMOD, unix.SYS_FCHMODAT,
	unix.SYS_MKDIRAT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UTIMENSAT,
	unix.SYS_SENDFILE, unix.SYS_SPLICE, unix.SYS_TEE, unix.SYS_COPY_FILE_RANGE,
	// Sockets.
	unix.SYS_CONNECT, unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_SHUTDOWN, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_GETSOCKOPT, unix.SYS_SETSOCKOPT, unix.SYS_SENDTO, unix.SYS_RECVFROM,
	unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDMMSG, unix.SYS_RECVMMSG,
	// Waiting.
	unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2, unix.SYS_EVENTFD2,
	unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_FUTEX, unix.SYS_RESTART_SYSCALL,
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY,
	unix.SYS_WAIT4, unix.SYS_WAITID, // for children that were started before
	// Memory. mmap and mprotect are among the bounded ones.
	unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MEMBARRIER,
	// Threads and signals. clone, kill and tgkill are among the bounded ones.
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_SET_TID_ADDRESS,
	unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETCPU,
	unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPENDING, unix.SYS_SIGALTSTACK,
	unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER, // profiles
	// Questions.
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID,
	unix.SYS_GETGROUPS, unix.SYS_GETRESUID, unix.SYS_GETRESGID, unix.SYS_CAPGET,
	unix.SYS_GETRANDOM, unix.SYS_UNAME, unix.SYS_SYSINFO, unix.SYS_GETRUSAGE, unix.SYS_TIMES,
}

// A test is a condition on one argument's low 32 bits, which are all that the
// kernel looks at in these arguments: after the mask it is one of values.
type test struct {
	arg    int
	mask   uint32
	values []uint32
}

// A boundedCall is allowed if its arguments pass all tests; else it is denied with
// EPERM.
type boundedCall struct {
	call  uintptr
	tests []test
}

const every = ^uint32(0) // the mask that leaves an argument as it is

// boundedCalls are allowed for what a proxy does with them.
func boundedCalls() []boundedCall {
	self := []test{{arg: 0, mask: every, values: []uint32{uint32(os.Getpid())}}}
	noCode := []test{{arg: 2, mask: unix.PROT_EXEC, values: []uint32{0}}}
	return []boundedCall{
		// Internet sockets. A Unix one would reach the services of the user whose
		// uid we have, and no file rule keeps it from there.
		{unix.SYS_SOCKET, []test{{arg: 0, mask: every, values: []uint32{unix.AF_INET, unix.AF_INET6}}}},
		// Threads of this process, in its namespaces.
		{unix.SYS_CLONE, []test{{arg: 0, mask: unix.CLONE_THREAD | newNamespaces, values: []uint32{unix.CLONE_THREAD}}}},
		// Signals to itself: others may have the same uid.
		{unix.SYS_KILL, self},
		{unix.SYS_TGKILL, self},
		// Memory that is not code.
		{unix.SYS_MMAP, noCode},
		{unix.SYS_MPROTECT, noCode},
		// Not F_SETOWN and F_SETSIG, by which a descriptor signals others.
		{unix.SYS_FCNTL, []test{{arg: 1, mask: every, values: []uint32{
			unix.F_DUPFD, unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL,
			unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW,
			unix.F_GETPIPE_SZ, unix.F_SETPIPE_SZ,
		}}}},
		// Its own limits.
		{unix.SYS_PRLIMIT64, []test{{arg: 0, mask: every, values: []uint32{0, uint32(os.Getpid())}}}},
		{unix.SYS_PRCTL, []test{{arg: 0, mask: every, values: []uint32{
			unix.PR_SET_NAME, unix.PR_GET_NAME, unix.PR_SET_VMA, unix.PR_GET_NO_NEW_PRIVS, unix.PR_GET_SECCOMP, unix.PR_CAPBSET_READ,
		}}}},
		// What is a terminal, its size, and bytes that wait; interfaces' names. Not
		// TIOCSTI, which types.
		{unix.SYS_IOCTL, []test{{arg: 1, mask: every, values: []uint32{
			unix.TCGETS, unix.TIOCGWINSZ, unix.TIOCGPGRP, unix.TIOCINQ, unix.TIOCOUTQ, unix.SIOCGIFNAME,
		}}}},
	}
}

// newNamespaces are clone's flags that make namespaces; CLONE_NEWTIME is not one
// of them, it shares its bit with the signal.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
