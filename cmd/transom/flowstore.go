package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"transom/app/control"
	"transom/platform"
	"transom/store"
	"transom/store/segment"
)

// openStore opens a directory that flows were recorded in, or the running transom that
// records there. To be read it is left as it is.
func openStore(ctx context.Context, dir, key string, changes bool, log *slog.Logger) (recording, error) {
	o, err := storeOptions(dir, key)
	if err != nil {
		return nil, err
	}
	o.Log = log
	if info, err := os.Stat(o.Dir); err == nil && !info.IsDir() {
		return nil, usagef("--store %s: that is a file: read it with -r", dir)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "lock")); errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--store %s: no flows were recorded there", o.Dir)
	}
	c, silent, err := whoRecordsIn(ctx, o.Dir)
	if err != nil {
		return nil, err
	}
	if c != nil {
		return c, nil
	}
	if changes {
		d, err := changeStore(o)
		if errors.Is(err, segment.ErrLocked) && silent != 0 {
			return nil, fmt.Errorf("--store %s: %w", o.Dir, &control.SilentError{PID: silent})
		}
		if err != nil {
			return nil, err // a nil Disk is no nil recording
		}
		return d, nil
	}
	if silent != 0 {
		log.Warn("a transom does not answer, so the directory is read as it is: what that has not written, or not said yet, is missing", "process", silent, "store", dir)
	}
	if pid, ok := platform.LockedElsewhere(filepath.Join(o.Dir, "lock")); ok {
		o.Log = log.With("recorded_by", fmt.Sprintf("process %d, in another network namespace: nsenter -t %[1]d -n transom flows has it asked", pid))
	}
	r, err := store.OpenDiskReader(o)
	if err != nil {
		return nil, aboutKey(o, err)
	}
	return r, nil
}

// storeOptions say which store it is.
func storeOptions(dir, key string) (o store.DiskOptions, err error) {
	if o.Dir, err = filepath.Abs(dir); err != nil {
		return o, err
	}
	if key == "" {
		return o, nil
	}
	o.Secret, err = readKey(key)
	return o, err
}

// readKey reads the file of --store-key.
func readKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case err != nil:
		return nil, usagef("--store-key: %w", err)
	case len(bytes.TrimSpace(b)) == 0:
		return nil, usagef("--store-key %s: it is empty: want a file that age-keygen has made, or a passphrase in it", path)
	}
	return b, nil
}

// changeStore opens a directory as whose it is, so that nothing in it becomes root's.
func changeStore(o store.DiskOptions) (*store.Disk, error) {
	if info, err := os.Stat(o.Dir); err == nil {
		uid, ok := platform.FileOwner(info)
		if ok && os.Geteuid() == 0 && uid != 0 {
			return nil, usagef("--store %s: it is of uid %d: change it as them, as in sudo -u '#%d' transom …, or what is made there is root's", o.Dir, uid, uid)
		}
	}
	d, err := store.OpenDisk(o)
	if err != nil {
		return nil, aboutKey(o, err)
	}
	return d, nil
}

// aboutKey says what to do where a key is missing.
func aboutKey(o store.DiskOptions, err error) error {
	if errors.Is(err, segment.ErrKey) && len(o.Secret) == 0 {
		return usagef("--store %s: what is there is encrypted: name the file with the key by --store-key", o.Dir)
	}
	return fmt.Errorf("--store %s: %w", o.Dir, err)
}

// whoRecordsIn finds the transom that has a directory, nil if none does that answers here.
// silent is one that does not answer at all, and may have it.
func whoRecordsIn(ctx context.Context, dir string) (_ *control.Client, silent int, err error) {
	pids, err := platform.Controls()
	if err != nil {
		return nil, 0, err
	}
	for _, pid := range pids {
		c := clientOf(pid)
		a, err := c.About(ctx)
		if err == nil && a.Store == dir {
			return c, 0, nil
		}
		if s := (*control.SilentError)(nil); errors.As(err, &s) {
			silent = pid
		}
		if err := c.Close(); err != nil {
			return nil, 0, err
		}
	}
	return nil, silent, nil
}
