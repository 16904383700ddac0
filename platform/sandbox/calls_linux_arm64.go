package sandbox

import "golang.org/x/sys/unix"

const (
	auditArch  = unix.AUDIT_ARCH_AARCH64
	fstatat    = unix.SYS_FSTATAT
	foreignBit = 0
)

// archCalls are allowed on this architecture besides.
var archCalls = [...]uintptr{unix.SYS_GETRLIMIT}

// archLookingCalls are allowed besides for who only looks.
var archLookingCalls = [...]uintptr{unix.SYS_GETRLIMIT}
