package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// What belongs to a thread is changed on all of them by psx: with cgo there are
// threads that the Go runtime does not know, and syscall.AllThreadsSyscall
// refuses.

// prctl is prctl(2) on every thread.
func prctl(option int, a, b uintptr) error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, uintptr(option), a, b, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// capset sets the capabilities of every thread.
func capset(effective, permitted, inheritable Set) error {
	head, data := capData(effective, permitted, inheritable)
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(head)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return errno
	}
	return nil
}

// capsetThread sets the capabilities of the calling thread alone.
func capsetThread(effective, permitted, inheritable Set) error {
	head, data := capData(effective, permitted, inheritable)
	return unix.Capset(head, &data[0])
}

// capData is what capset(2) and capget(2) take. It is on the heap, which does
// not move.
func capData(effective, permitted, inheritable Set) (*unix.CapUserHeader, *[2]unix.CapUserData) {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &[2]unix.CapUserData{
		{Effective: uint32(effective), Permitted: uint32(permitted), Inheritable: uint32(inheritable)},
		{Effective: uint32(effective >> 32), Permitted: uint32(permitted >> 32), Inheritable: uint32(inheritable >> 32)},
	}
}

// capget returns the calling thread's capabilities.
func capget() (effective, permitted, inheritable Set, err error) {
	head, data := capData(0, 0, 0)
	if err := unix.Capget(head, &data[0]); err != nil {
		return 0, 0, 0, fmt.Errorf("read the capabilities of this process: %w", err)
	}
	join := func(low, high uint32) Set { return Set(low) | Set(high)<<32 }
	return join(data[0].Effective, data[1].Effective),
		join(data[0].Permitted, data[1].Permitted),
		join(data[0].Inheritable, data[1].Inheritable), nil
}

// Held returns the permitted capabilities.
func Held() (Set, error) {
	_, permitted, _, err := capget()
	return permitted, err
}

// verify reads what the kernel says of every thread, and returns an error if one
// of them has another set of capabilities than want or can still get new
// privileges. Without /proc there is nobody to ask.
func verify(want Set) error {
	threads, err := os.ReadDir("/proc/self/task")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the threads of this process: %w", err)
	}
	caps := fmt.Sprintf("%016x", uint64(want))
	expected := map[string]string{"CapEff": caps, "CapPrm": caps, "NoNewPrivs": "1"}
	for _, thread := range threads {
		b, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/status")
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return fmt.Errorf("read the rights of thread %s: %w", thread.Name(), err)
		}
		for line := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(line, ":")
			if want, ok := expected[key]; ok && strings.TrimSpace(value) != want {
				return fmt.Errorf("thread %s has still %s %s, want %s", thread.Name(), key, strings.TrimSpace(value), want)
			}
		}
	}
	return nil
}
