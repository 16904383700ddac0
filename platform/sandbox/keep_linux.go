package sandbox

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Keep gives up everything but caps, on all threads: these are permitted and
// effective, none is inheritable or ambient, and programs started from here gain
// nothing by their file's capabilities or owner. The bounding set has no other
// either, if the process may change it (cap_setpcap). A child can still be given
// some of caps (syscall.SysProcAttr.AmbientCaps). The error names what the process
// never had.
func Keep(caps ...Cap) error { return keep(SetOf(caps...), 0) }

// KeepAcross is Keep, and programs started from here have caps too.
func KeepAcross(caps ...Cap) error { return keep(SetOf(caps...), SetOf(caps...)) }

func keep(want, ambient Set) error {
	held, err := Held()
	if err != nil {
		return err
	}
	if lack := held.Missing(want.Caps()...); lack != 0 {
		return fmt.Errorf("keep %s: this process has no %s: %w", want, lack, unix.EPERM)
	}
	if err := shrink(held, want); err != nil {
		return err
	}
	if err := lowerTo(want, ambient); err != nil {
		return err
	}
	return verify(want)
}

// OwnFiles has this process open files by what its user may alone, unless that is uid
// 0: what it may beyond, by file capabilities, is for what it was meant for, and not
// for files that whoever calls it names. It keeps the right, and can give it on.
func OwnFiles() error {
	effective, permitted, inheritable, err := capget()
	if err != nil || os.Geteuid() == 0 || effective&fileCaps() == 0 {
		return err
	}
	if err := capset(effective&^fileCaps(), permitted, inheritable); err != nil {
		return fmt.Errorf("put down the capabilities over files: %w", err)
	}
	return nil
}

// shrink bounds what this process or a program started from it could ever gain,
// as long as held still allows it. Nobody becomes more by being uid 0.
func shrink(held, want Set) error {
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if err := capset(held, held, 0); err != nil { // what follows may be permitted and not effective
		return fmt.Errorf("make the permitted capabilities effective: %w", err)
	}
	if !held.Has(setpcap) {
		return nil // the bounding set stays: nobody can gain from it any more
	}
	for c := Cap(0); c < 64; c++ {
		if want.Has(c) {
			continue
		}
		err := prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0)
		if errors.Is(err, unix.EINVAL) {
			break // the kernel knows no more of them
		}
		if err != nil {
			return fmt.Errorf("take %s from the bounding set: %w", c, err)
		}
	}
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0) // some may be locked already
	if err == nil {
		err = prctl(unix.PR_SET_SECUREBITS, uintptr(bits)|secbitNoRoot|secbitNoRootLocked, 0)
	}
	if err != nil {
		return fmt.Errorf("make uid 0 a user like any other: %w", err)
	}
	return nil
}

// The bits of linux/securebits.h.
const (
	secbitNoRoot       = 1 << 0
	secbitNoRootLocked = 1 << 1
)

// lowerTo leaves exactly want, and ambient of it to programs started from here.
func lowerTo(want, ambient Set) error {
	err := prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0)
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: before Linux 4.3
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if err := capset(want, want, ambient); err != nil {
		return fmt.Errorf("keep only the capabilities %q: %w", want, err)
	}
	for _, c := range ambient.Caps() {
		if err := prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c)); err != nil {
			return fmt.Errorf("make %s ambient: %w", c, err)
		}
	}
	return nil
}
