package sandbox

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// fileCaps reach past the permissions of files.
func fileCaps() Set {
	return SetOf(chown, dacOverride, dacReadSearch, fowner, fsetid, linuxImmutable, mknod, macOverride)
}

// AsUser runs f and returns its error; what f does with files happens with the
// rights of u and no other: what f makes belongs to u, and no symbolic link of
// u's leads where u could not go. Everything else stays as it is. It is f's own
// goroutine that has them, not those that f starts. AsUser fails, and does not run
// f, if this process can't become u (see Within). A panic and a Goexit of f are
// the caller's.
func AsUser(u User, f func() error) (err error) {
	held, err := Held()
	if err != nil {
		return err
	}
	var crash any
	finished, done := false, make(chan struct{})
	go offMain(func() {
		defer close(done)
		defer func() {
			if !finished {
				crash = recover()
			}
		}()
		if err = takeFiles(u, held); err == nil {
			err = f()
		}
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

// offMain runs f on a thread that ends with it, rather than one that would have
// to be given its rights back. The main thread can't end.
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

// takeFiles gives the calling thread u's rights to files. The ids come first: the
// right to change them goes with the capabilities.
func takeFiles(u User, held Set) error {
	if err := capsetThread(held, held, 0); err != nil { // setgid may be permitted and not effective
		return fmt.Errorf("act as %s: make the permitted capabilities effective: %w", u, err)
	}
	if !sameIDs(u.Groups, Self().Groups) {
		if err := unix.Setgroups(u.Groups); err != nil { // of this thread, unlike syscall.Setgroups
			return fmt.Errorf("act as %s: set its groups: %w", u, err)
		}
	}
	if err := setFS("gid", u.GID, unix.SetfsgidRetGid); err != nil {
		return fmt.Errorf("act as %s: %w", u, err)
	}
	if err := setFS("uid", u.UID, unix.SetfsuidRetUid); err != nil {
		return fmt.Errorf("act as %s: %w", u, err)
	}
	rest := held &^ fileCaps()
	if err := capsetThread(rest, rest, 0); err != nil {
		return fmt.Errorf("act as %s: put down the capabilities over files: %w", u, err)
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
