//go:build !linux

package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"transom/platform"
)

// Held returns none: capabilities are Linux's.
func Held() (Set, error) { return 0, nil }

// Keep returns an error: capabilities are Linux's.
func Keep(...Cap) error {
	return fmt.Errorf("keep some capabilities: %w", platform.ErrUnsupported)
}

// KeepAcross returns an error: capabilities are Linux's.
func KeepAcross(...Cap) error {
	return fmt.Errorf("keep some capabilities across exec: %w", platform.ErrUnsupported)
}

// BecomeReal returns an error: capabilities are Linux's.
func BecomeReal(...Cap) error {
	return fmt.Errorf("become the real user: %w", platform.ErrUnsupported)
}

// OnlyLook returns an error: lists of system calls are Linux's.
func OnlyLook() error {
	return fmt.Errorf("hold a process to a list of system calls: %w", platform.ErrUnsupported)
}

// OwnFiles does nothing: capabilities are Linux's.
func OwnFiles() error { return nil }

// RootsOwn is Linux's.
func RootsOwn(name string) (fs.FileInfo, error) {
	return nil, fmt.Errorf("look who can change %s: %w", name, platform.ErrUnsupported)
}

// RootsOwnByLinks is Linux's.
func RootsOwnByLinks(name string) (fs.FileInfo, error) { return RootsOwn(name) }

// HasRights is Linux's.
func HasRights(name string, _ fs.FileInfo) (bool, error) {
	return false, fmt.Errorf("look at the rights of %s: %w", name, platform.ErrUnsupported)
}

// Within returns u if this process can become it, or else who we are, and why.
func Within(u User) (User, string) {
	self := Self()
	if u.same(self) || self.UID == 0 {
		return u, ""
	}
	return self, fmt.Sprintf("stays %s: only root can become %s", self, u)
}

// AsUser runs f with u's rights to files. They are the process's here and not a
// thread's, so it is for the time before anything else is done with them.
func AsUser(u User, f func() error) (err error) {
	self := Self()
	if u.UID == self.UID && u.GID == self.GID {
		return f()
	}
	act := func(u User, uidFirst bool) error {
		uid := func() error { return syscall.Seteuid(u.UID) }
		steps := []func() error{
			func() error { return syscall.Setgroups(few(u)) },
			func() error { return syscall.Setegid(u.GID) },
			uid,
		}
		if uidFirst { // to change the others takes root
			steps = append([]func() error{uid}, steps...)
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return fmt.Errorf("act as %s for files: %w", u, err)
			}
		}
		return nil
	}
	defer func() { err = errors.Join(err, act(self, true)) }()
	if err := act(u, false); err != nil {
		return err
	}
	return f()
}

// mostGroups is how many groups a process may have on any of these systems.
const mostGroups = 16

// few returns the groups that a process can be given, its main one first. Who is in
// more of them has fewer rights than otherwise.
func few(u User) []int {
	groups := []int{u.GID}
	for _, g := range u.Groups {
		if g != u.GID && len(groups) < mostGroups {
			groups = append(groups, g)
		}
	}
	return groups
}

// Drop becomes o.User, with its groups, for good. File rules and lists of system
// calls are Linux's; the report says that they are missing.
func Drop(o Options) (Report, error) {
	var r Report
	u, why := Self(), ""
	if o.User != nil {
		if u, why = Within(*o.User); why != "" {
			r.missing("the process ", why)
		}
	}
	if err := become(u); err != nil {
		return r, fmt.Errorf("give up the rights of this process: %w", err)
	}
	r.User = u
	r.missing(runtime.GOOS, " has no Landlock and no seccomp: files are protected by their permissions alone, and all system calls can be made")
	r.tell(o.Log)
	return r, nil
}

// become changes groups, gid and uid; as root it changes the saved ones as well.
func become(u User) error {
	if u.same(Self()) && os.Getuid() == u.UID && os.Getgid() == u.GID {
		return nil
	}
	if err := syscall.Setgroups(few(u)); err != nil {
		return fmt.Errorf("set the groups of %s: %w", u, err)
	}
	if err := syscall.Setgid(u.GID); err != nil {
		return fmt.Errorf("become gid %d: %w", u.GID, err)
	}
	if err := syscall.Setuid(u.UID); err != nil {
		return fmt.Errorf("become uid %d: %w", u.UID, err)
	}
	return nil
}

// OpenStraight is Linux's.
func OpenStraight(name string, _ int, _ fs.FileMode) (*os.File, error) {
	return nil, fmt.Errorf("open %s without following links: %w", name, platform.ErrUnsupported)
}
