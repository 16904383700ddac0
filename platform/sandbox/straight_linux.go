package sandbox

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// OpenStraight is os.OpenFile for a name that a person gave and whose directories
// may be a lesser user's: it follows no symbolic link on the way, and opens no file
// that has another name elsewhere, since that user may have put either there to
// reach what is not theirs. Nothing is cut before that is known.
func OpenStraight(name string, flags int, perm fs.FileMode) (*os.File, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, name, &unix.OpenHow{
		Flags:   uint64(flags&^os.O_TRUNC | unix.O_CLOEXEC),
		Mode:    openMode(flags, perm),
		Resolve: unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open without following links", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if err := straight(f, flags); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openMode is 0 unless a file may be made: the kernel wants it so.
func openMode(flags int, perm fs.FileMode) uint64 {
	if flags&os.O_CREATE == 0 {
		return 0
	}
	return uint64(perm.Perm())
}

func straight(f *os.File, flags int) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &fs.PathError{Op: "look at", Path: f.Name(), Err: err}
	}
	if regular := st.Mode&unix.S_IFMT == unix.S_IFREG; !regular {
		return nil
	}
	if st.Nlink > 1 {
		return fmt.Errorf("open %s: it has %d names: %w", f.Name(), st.Nlink, fs.ErrPermission)
	}
	if flags&os.O_TRUNC != 0 {
		return f.Truncate(0)
	}
	return nil
}
