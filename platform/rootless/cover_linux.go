package rootless

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What the program finds that isn't there is put into this mount namespace, where
// nobody else sees it:
//
//	a directory to hide      is covered by an empty file system in memory
//	a file in place of one   is laid over it, from a file system in memory
//	a file in addition       needs a place: the nearest directory that there is gets
//	                         covered too, by one in which all that was in it is again

// layOver does all of it. What can't be done is told in a note, since most programs
// have no use for most files. owner is whose the program's files are.
func layOver(hide []string, files []File, owner int) (notes []string, err error) {
	for _, dir := range hide {
		if err := mountMemory(dir); err != nil {
			return nil, err
		}
	}
	var over, added []File
	covered := map[string]bool{}
	for _, f := range files {
		if _, err := os.Stat(f.Path); err == nil {
			over = append(over, f)
			continue
		}
		added = append(added, f)
		dir := nearest(f.Path)
		if covered[dir] || slices.Contains(hide, dir) {
			continue
		}
		if err := cover(dir); err != nil {
			notes = note(notes, err)
			continue
		}
		covered[dir] = true
	}
	for _, f := range added {
		if err := f.write(f.Path); err != nil {
			notes = note(notes, err)
		}
	}
	more, err := layAll(over)
	for dir := range covered {
		err = errors.Join(err, seal(dir, owner))
	}
	return append(notes, more...), err
}

// note adds what could not be done. Where the caller may not go the program won't
// either.
func note(notes []string, err error) []string {
	if errors.Is(err, fs.ErrPermission) {
		return notes
	}
	return append(notes, err.Error())
}

// seal has a directory refuse changes that covers one of somebody else's: the
// program could not change that either.
func seal(dir string, owner int) error {
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, ".."), &st); err != nil || int(st.Uid) == owner {
		return err
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", dir, err)
	}
	return nil
}

// nearest is the directory above path that there is.
func nearest(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.IsDir() || dir == "/" {
			return dir
		}
	}
}

// write writes a file and the directories above it.
func (f *File) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if f.Private {
		mode = 0o600
	}
	return os.WriteFile(path, f.Data, mode)
}

func mountMemory(dir string) error {
	if err := unix.Mount("transom", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount a file system in memory on %s: %w", dir, err)
	}
	return nil
}

// cover covers a directory with one that holds the same, and can hold more.
func cover(dir string) error {
	if dir == "/" || strings.HasPrefix(dir, "/proc") || strings.HasPrefix(dir, "/sys") {
		return fmt.Errorf("%s: nothing can be added there", dir)
	}
	below, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer below.Close()
	entries, err := below.ReadDir(-1)
	if err != nil {
		return err
	}
	if err := mountMemory(dir); err != nil {
		return err
	}
	from := fmt.Sprintf("/proc/self/fd/%d", below.Fd())
	for _, e := range entries {
		if err := again(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name()), e.Type()); err != nil {
			return errors.Join(fmt.Errorf("have %s again: %w", filepath.Join(dir, e.Name()), err), unix.Unmount(dir, unix.MNT_DETACH))
		}
	}
	return nil
}

// again makes an entry of a directory appear in another.
func again(from, to string, kind fs.FileMode) error {
	switch kind {
	case fs.ModeSymlink:
		dst, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(dst, to)
	case fs.ModeDir:
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
	default:
		if err := os.WriteFile(to, nil, 0o644); err != nil {
			return err
		}
	}
	return unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
}

// stage is where a file system of ours is put while files are taken from it. The
// program is not there yet.
const stage = "/tmp"

// layAll lays files over others.
func layAll(files []File) (notes []string, err error) {
	if len(files) == 0 {
		return nil, nil
	}
	targets := make([]*os.File, len(files)) // opened before the stage hides some
	defer func() { closeFiles(targets) }()
	for i, f := range files {
		if targets[i], err = os.OpenFile(f.Path, unix.O_PATH, 0); err != nil {
			notes = note(notes, err)
		}
	}
	if err := mountMemory(stage); err != nil {
		return nil, err
	}
	for i, f := range files {
		if targets[i] == nil {
			continue
		}
		name := filepath.Join(stage, strconv.Itoa(i))
		err := f.write(name)
		if err == nil {
			err = unix.Mount(name, fmt.Sprintf("/proc/self/fd/%d", targets[i].Fd()), "", unix.MS_BIND, "")
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("lay a file over %s: %v", f.Path, err))
		}
	}
	if err := unix.Unmount(stage, unix.MNT_DETACH); err != nil {
		return nil, fmt.Errorf("unmount %s: %w", stage, err)
	}
	return notes, nil
}
