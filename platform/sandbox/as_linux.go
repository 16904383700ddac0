package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"
)

// fileCaps reach past the permissions of files.
func fileCaps() Set {
	return SetOf(chown, DACOverride, DACReadSearch, fowner, fsetid, linuxImmutable, mknod, macOverride)
}

// AsUser runs f and returns its error; what f does with files happens with the
// rights of u and no other: what f makes belongs to u, and no symbolic link of
// u's leads where u could not go. Everything else stays as it is. It is f's own
// goroutine that has them, not those that f starts. AsUser fails, and does not run
// f, if this process can't become u (see Within). A panic and a Goexit of f are
// the caller's.
func AsUser(u User, f func() error) (err error) {
	var crash any
	finished, done := false, make(chan struct{})
	go offMain(func() {
		defer close(done)
		defer func() {
			if !finished {
				crash = recover()
			}
		}()
		err = as(u, f)
		finished = true
	})
	<-done
	switch {
	case finished:
		return err
	case crash != nil:
		panic(crash)
	}
	runtime.Goexit()
	return nil
}

// as gives the calling thread u's rights to files while f runs. The thread gets its
// own back, though it is about to end: it has to agree with all others if rights
// are given up meanwhile.
func as(u User, f func() error) (err error) {
	effective, permitted, inheritable, err := capget()
	if err != nil {
		return err
	}
	self := User{UID: os.Geteuid(), GID: os.Getegid()}
	if self.Groups, err = unix.Getgroups(); err != nil { // Self would add the gid
		return fmt.Errorf("act as %s: read the groups of this process: %w", u, err)
	}
	defer func() {
		if e := setFiles(self, permitted, permitted, inheritable); e != nil && err == nil {
			err = fmt.Errorf("take back what was given up: %w", e)
		}
		if e := capsetThread(effective, permitted, inheritable); e != nil && err == nil {
			err = fmt.Errorf("take back the capabilities over files: %w", e)
		}
	}()
	if err := setFiles(u, permitted, permitted&^fileCaps(), inheritable); err != nil {
		return fmt.Errorf("act as %s: %w", u, err)
	}
	return f()
}

// offMain runs f on a thread that ends with it, whatever became of its rights. The
// main thread can't end.
func offMain(f func()) {
	runtime.LockOSThread() // until the goroutine ends, and the thread with it
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		offMain(f) // another thread: this one stays locked meanwhile
	}()
	<-done
	runtime.UnlockOSThread()
}

// setFiles sets whose files the calling thread opens, and leaves it the effective
// capabilities of then. The ids come first: the right to change them may go.
func setFiles(u User, permitted, then, inheritable Set) error {
	if err := capsetThread(permitted, permitted, inheritable); err != nil { // setgid may be permitted and not effective
		return fmt.Errorf("make the permitted capabilities effective: %w", err)
	}
	groups, err := unix.Getgroups()
	if err != nil {
		return fmt.Errorf("read its groups: %w", err)
	}
	if !sameIDs(append(groups, u.GID), append(slices.Clone(u.Groups), u.GID)) {
		if err := unix.Setgroups(u.Groups); err != nil { // of this thread, unlike syscall.Setgroups
			return fmt.Errorf("set its groups: %w", err)
		}
	}
	if err := setFS("gid", u.GID, unix.SetfsgidRetGid); err != nil {
		return err
	}
	if err := setFS("uid", u.UID, unix.SetfsuidRetUid); err != nil {
		return err
	}
	if err := capsetThread(then, permitted, inheritable); err != nil {
		return fmt.Errorf("put down the capabilities over files: %w", err)
	}
	return nil
}

// setFS changes an id that the kernel checks access to files by. The call says
// only what the id was before, so it is asked again.
func setFS(what string, id int, set func(int) (int, error)) error {
	if _, err := set(id); err != nil {
		return err
	}
	now, err := set(-1)
	if err == nil && now != id {
		err = fmt.Errorf("files would be opened with %s %d still, not %d: %w", what, now, id, unix.EPERM)
	}
	return err
}
