package ca

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Writing an authority's files: private to their owner, whole or not at all, and never
// in place of others.

// create makes an authority in dir, unless another process is first.
func create(dir string, o Options) (made bool, err error) {
	i, err := o.newRoot()
	if err != nil {
		return false, err
	}
	data, err := i.pem()
	if err != nil {
		return false, err
	}
	if err := makeDir(dir, o.Owner); err != nil {
		return false, err
	}
	if err := writeOnce(dir, ownName+".pem", data, 0o600, o.Owner); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return false, nil // theirs is the one
		}
		return false, err
	}
	err = writeOnce(dir, ownName+certSuffix+".pem", certPEM(i.cert.Raw), 0o644, o.Owner)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return true, err
}

// makeDir makes dir and what is missing above it, open to its owner only.
func makeDir(dir string, owner *Owner) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	var missing []string
	for {
		_, err := os.Stat(dir)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || filepath.Dir(dir) == dir {
			return fmt.Errorf("look for the directory %s: %w", dir, plain(err))
		}
		missing = append(missing, filepath.Base(dir))
		dir = filepath.Dir(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the directory %s: %w", dir, plain(err))
	}
	defer root.Close()
	path := "."
	for _, name := range slices.Backward(missing) {
		path = filepath.Join(path, name)
		if err := makeOne(root, path, owner); err != nil {
			return fmt.Errorf("make the directory %s: %w", filepath.Join(dir, path), err)
		}
	}
	return nil
}

// makeOne makes a directory, unless there is one, made meanwhile by another
// process.
func makeOne(root *os.Root, path string, owner *Owner) error {
	err := root.Mkdir(path, 0o700)
	switch {
	case errors.Is(err, fs.ErrExist):
		if _, err := root.Stat(path); err != nil {
			return errors.New("it is a link that leads nowhere: remove it")
		}
		return nil
	case errors.Is(err, fs.ErrNotExist): // though what it is to be in is there
		return errors.New("none can be made there: use another (--ca-dir)")
	case errors.Is(err, fs.ErrPermission): // of the directory that it is to be in: this one has no owner yet
		return errors.New("permission denied to make one there: use another (--ca-dir)")
	case err == nil && owner != nil:
		err = root.Lchown(path, owner.UID, owner.GID)
	}
	if err != nil {
		return plain(err)
	}
	return nil
}

// writeOnce writes a file that is either not there or whole, even after a
// crash, and never replaces one: then it returns fs.ErrExist. It goes by
// directory, not by path, so that nobody can lead it elsewhere meanwhile.
func writeOnce(dir, name string, data []byte, mode fs.FileMode, owner *Owner) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open the directory %s: %w", dir, plain(err))
	}
	defer root.Close()
	if err := linkOnce(root, name, data, mode, owner); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), plain(err))
	}
	if d, err := root.Open("."); err == nil {
		_ = d.Sync() // not every file system can
		d.Close()
	}
	return nil
}

// linkOnce writes it under another name, and gives it its own.
func linkOnce(root *os.Root, name string, data []byte, mode fs.FileMode, owner *Owner) error {
	tmp := "." + name + "." + rand.Text() + ".tmp"
	if err := writeNew(root, tmp, data, mode, owner); err != nil {
		return err
	}
	defer func() { _ = root.Remove(tmp) }()
	err := root.Link(tmp, name)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// No hard links on this file system (FAT and some network ones). The
		// name is still taken once only; a crash may leave the file cut short,
		// which load then says.
		err = writeNew(root, name, data, mode, owner)
	}
	return err
}

// writeNew writes a new file through to the disk.
func writeNew(root *os.Root, name string, data []byte, mode fs.FileMode, owner *Owner) (err error) {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = root.Remove(name)
		}
	}()
	if owner != nil {
		if err := f.Chown(owner.UID, owner.GID); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}
