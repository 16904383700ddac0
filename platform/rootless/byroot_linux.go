package rootless

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// prepareByRoot makes what is around the program: there is no network to lay out.
//
// The program gains no rights (no_new_privs), for it may be able to have something
// of its own lie over files that programs of root's go by, through a directory of
// the caller's that leads elsewhere.
func (k *keeper) prepareByRoot() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil { // of this thread, which starts the program
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return k.line.send(&message{Kind: sayReady})
}

// within has a program start in the cgroup and as the caller. The directory that it
// returns is to be open until then.
func (k *keeper) within(s *syscall.SysProcAttr) (*os.File, error) {
	into, err := os.Open(k.brief.Cgroup)
	if err != nil {
		return nil, err
	}
	as := &k.brief.As
	groups := make([]uint32, len(as.Groups))
	for i, g := range as.Groups {
		groups[i] = uint32(g)
	}
	*s = syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, UseCgroupFD: true, CgroupFD: int(into.Fd())}
	if as.UID != os.Getuid() { // else it has the groups, and there may be no right to set any
		s.Credential = &syscall.Credential{Uid: uint32(as.UID), Gid: uint32(as.GID), Groups: groups}
	}
	return into, nil
}

// owner is whose the program's files are, as they are seen here.
func (k *keeper) owner() int {
	if k.byRoot() {
		return k.brief.As.UID
	}
	return os.Getuid()
}

// asCaller runs f, which finds, makes and owns files as the caller does, on this
// thread. It can still mount.
func (k *keeper) asCaller(f func() error) (err error) {
	as := &k.brief.As
	if !k.byRoot() || as.UID == os.Geteuid() {
		return f()
	}
	before, err := unix.Getgroups()
	if err != nil {
		return err
	}
	// Of this thread alone, unlike unix.Setgroups. The group goes first, and comes
	// back last: it takes a right.
	if err := setGroups(as.Groups); err != nil {
		return fmt.Errorf("take the caller's groups: %w", err)
	}
	unix.SetfsgidRetGid(as.GID)
	unix.SetfsuidRetUid(as.UID)
	defer func() {
		unix.SetfsuidRetUid(os.Geteuid())
		unix.SetfsgidRetGid(os.Getegid())
		if e := setGroups(before); err == nil && e != nil {
			err = e
		}
	}()
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != as.UID {
		return fmt.Errorf("files are those of uid %d, not of %d: %w", now, as.UID, unix.EPERM)
	}
	return f()
}

// setGroups sets the groups of the calling thread.
func setGroups(groups []int) error {
	list := make([]uint32, len(groups)+1) // one more, so that there is a first
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	return nil
}
