package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	fstatat   = unix.SYS_NEWFSTATAT

	// The x32 ABI makes system calls of the same architecture, with this bit.
	foreignBit = 1 << 30
)

// archCalls are allowed on this architecture besides. C libraries make the older
// ones.
var archCalls = [...]uintptr{
	unix.SYS_ARCH_PRCTL, unix.SYS_EPOLL_WAIT, unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_TIME, unix.SYS_GETRLIMIT,
	unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_ACCESS, unix.SYS_READLINK, unix.SYS_OPEN, unix.SYS_UNLINK,
}

// archLookingCalls are allowed besides for who only looks. Go makes them here.
var archLookingCalls = [...]uintptr{unix.SYS_ARCH_PRCTL, unix.SYS_EPOLL_WAIT, unix.SYS_POLL}
