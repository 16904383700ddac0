package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"transom/platform"
	"transom/store"
	"transom/store/segment"
)

// openStore opens a directory that flows were recorded in, or the running transom that
// records there.
func openStore(ctx context.Context, dir, key string) (recording, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "lock")); errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("--store %s: no flows were recorded there", dir)
	}
	o := store.DiskOptions{Dir: dir}
	if key != "" {
		if o.Secret, err = os.ReadFile(key); err != nil {
			return nil, usagef("--store-key: %w", err)
		}
	}
	d, err := store.OpenDisk(o)
	switch {
	case errors.Is(err, segment.ErrKey) && key == "":
		return nil, usagef("--store %s: what is there is encrypted: name the file with the key by --store-key", dir)
	case !errors.Is(err, segment.ErrLocked):
		return d, err
	}
	return whoRecordsIn(ctx, dir, err)
}

// whoRecordsIn finds the transom that has a directory.
func whoRecordsIn(ctx context.Context, dir string, locked error) (recording, error) {
	pids, err := platform.Controls()
	if err != nil {
		return nil, errors.Join(locked, err)
	}
	for _, pid := range pids {
		c := clientOf(pid)
		if a, err := c.About(ctx); err == nil && a.Store == dir {
			return c, nil
		}
		if err := c.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w; whoever that is, it does not answer here: another user's transom, or one in another network namespace", locked)
}
