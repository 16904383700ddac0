package sandbox

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// RootsOwn reports as an error that somebody else than root could have put what is
// at name there, or could put something else there now: name has to be absolute,
// with no symbolic link on the way, and each directory and the file have to be
// root's and writable by nobody else, on file systems whose word counts for rights
// (not nosuid): another's, by FUSE or on a stick, says what its maker likes. What is
// there is returned.
//
// Where it finds nothing wrong nobody but root can change it before it is used. A
// way that differs from the name is refused though root made it, so that names
// can be compared as texts.
func RootsOwn(name string) (fs.FileInfo, error) {
	info, at, _, err := walk(name)
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s is a symbolic link: give the name of what it leads to", at)
	}
	return info, err
}

// linksMost bounds how many links are followed, as the kernel does.
const linksMost = 40

// RootsOwnByLinks is RootsOwn for a name that is compared with none: on the way may
// be symbolic links that are root's.
func RootsOwnByLinks(name string) (fs.FileInfo, error) {
	for range linksMost {
		info, at, end, err := walk(name)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return info, err
		}
		to, err := os.Readlink(at)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(at) // on the way to it are no links
		for ; strings.HasPrefix(to, "../"); to = to[len("../"):] {
			dir = path.Dir(dir)
		}
		if !path.IsAbs(to) {
			to = strings.TrimSuffix(dir, "/") + "/" + to
		}
		if name = to; end != "" {
			name += "/" + end
		}
	}
	return nil, fmt.Errorf("%s: %w", name, unix.ELOOP)
}

// walk goes along a name to its end or the first symbolic link, which is at, with end
// behind it.
func walk(name string) (info fs.FileInfo, at, end string, err error) {
	if !strings.HasPrefix(name, "/") {
		return nil, "", "", fmt.Errorf("%q is not an absolute path", name)
	}
	at, end = "/", name[1:]
	for {
		info, err := rootsOwn(at)
		if err != nil || end == "" || info.Mode()&fs.ModeSymlink != 0 {
			return info, at, end, err
		}
		if !info.IsDir() {
			return nil, "", "", fmt.Errorf("%s is no directory", at)
		}
		var next string
		next, end, _ = strings.Cut(end, "/")
		if next == "" || next == "." || next == ".." {
			return nil, "", "", fmt.Errorf("%q has an element %q", name, next)
		}
		at = strings.TrimSuffix(at, "/") + "/" + next
	}
}

// rootsOwn looks at one descriptor: at a name there may be something else by the next
// look, since people can mount (fusermount) where a directory is theirs.
func rootsOwn(name string) (fs.FileInfo, error) {
	fd, err := unix.Open(name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "look at", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("look at %s: %w", name, err)
	}
	if st.Uid != 0 {
		return nil, fmt.Errorf("%s belongs to uid %d: chown it to root", name, st.Uid)
	}
	if p := info.Mode().Perm(); p&0o022 != 0 && info.Mode()&fs.ModeSymlink == 0 {
		return nil, fmt.Errorf("%s (mode %#o) can be changed by others than root: chmod go-w it", name, p)
	}
	var at unix.Statfs_t
	if err := unix.Fstatfs(fd, &at); err != nil {
		return nil, fmt.Errorf("find the file system of %s: %w", name, err)
	}
	if at.Flags&unix.ST_NOSUID != 0 {
		return nil, fmt.Errorf("%s is on a file system that is mounted nosuid, as those are that people mount: what it says is root's may be theirs; have it elsewhere", name)
	}
	return info, nil
}

// HasRights reports whether a program has rights of its own, that exec takes from
// its file: its owner's, its group's or capabilities.
func HasRights(name string, info fs.FileInfo) (bool, error) {
	if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return true, nil
	}
	_, err := unix.Getxattr(name, "security.capability", nil)
	switch err {
	case nil:
		return true, nil
	case unix.ENODATA, unix.ENOTSUP:
		return false, nil
	}
	return false, fmt.Errorf("look for file capabilities of %s: %w", name, err)
}
