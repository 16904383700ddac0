//go:build amd64 || arm64

package sandbox

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// restrictCalls holds every thread to the list of system calls, if the kernel
// can. It is the last that Drop does.
func restrictCalls(r *Report) error { return holdTo(program(), r) }

// holdTo holds every thread to a filter.
func holdTo(f []unix.SockFilter, r *Report) error {
	// Without SPEC_ALLOW kernels before Linux 5.16 slow the processor down for
	// who runs code of strangers, which this process does not.
	errno, thread := load(f, unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW)
	if errno == unix.EINVAL { // before Linux 4.17
		errno, thread = load(f, unix.SECCOMP_FILTER_FLAG_TSYNC)
	}
	switch {
	case errno == unix.ENOSYS, errno == unix.EINVAL:
		r.missing("this kernel has no seccomp filters (", errno.Error(), "): all system calls can be made")
		return nil
	case errno != 0:
		return fmt.Errorf("load the filter: %w", errno)
	case thread != 0:
		return fmt.Errorf("load the filter: thread %d has another one already", thread)
	}
	r.Seccomp = true
	return nil
}

// load puts a filter in force on all threads, or on none: then thread is one that
// can't have it.
func load(f []unix.SockFilter, flags uintptr) (errno syscall.Errno, thread uintptr) {
	prog := &unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	thread, _, errno = unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(prog)))
	runtime.KeepAlive(prog)
	return errno, thread
}

// Offsets into struct seccomp_data, from linux/seccomp.h.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// program is the filter of a proxy at work.
func program() []unix.SockFilter {
	return programOf(slices.Concat(freeCalls[:], archCalls[:]), boundedCalls())
}

// programOf is a filter in classic BPF. It knows which call to allow; all others
// fail with EPERM, and clone3 with ENOSYS: its flags are in memory, where a filter
// doesn't see them, and C libraries then use clone.
func programOf(free []uintptr, bounded []boundedCall) []unix.SockFilter {
	deny := ret(unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM))
	f := []unix.SockFilter{word(offsetArch), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: auditArch}, deny, word(offsetCall)}
	if foreignBit != 0 {
		f = append(f, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: foreignBit}, deny)
	}
	allow := ret(unix.SECCOMP_RET_ALLOW)
	for _, call := range free {
		f = append(f, unless(uint32(call), 1), allow)
	}
	for _, b := range bounded {
		body := append(bounds(b.tests, deny), allow)
		f = append(append(f, unless(uint32(b.call), uint8(len(body)))), body...)
	}
	f = append(f, unless(unix.SYS_CLONE3, 1), ret(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
	return append(f, deny)
}

// bounds denies the call if a test fails, and goes on behind them if none does.
func bounds(tests []test, deny unix.SockFilter) (f []unix.SockFilter) {
	for _, t := range tests {
		low := uint32(offsetArgs + 8*t.arg)
		if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
			low += 4 // big-endian
		}
		f = append(f, word(low), unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: t.mask})
		for i, v := range t.values {
			f = append(f, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: uint8(len(t.values) - i), K: v})
		}
		f = append(f, deny)
	}
	return f
}

func word(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func ret(action uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
}

// unless skips n instructions if the accumulator is not k.
func unless(k uint32, n uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: n, K: k}
}
