package nft

import (
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// cgroupID is the number of a cgroup, which is that of its directory's inode.
// Hosts that have both versions of cgroups mount the second below the first.
func cgroupID(path string) (uint64, error) {
	var errs []error
	for _, mount := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		dir := filepath.Join(mount, path)
		var fs unix.Statfs_t
		if err := unix.Statfs(dir, &fs); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", dir, err))
			continue
		}
		if int64(fs.Type) != unix.CGROUP2_SUPER_MAGIC {
			errs = append(errs, fmt.Errorf("%s is no cgroup of version 2", dir))
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err != nil {
			return 0, err
		}
		return st.Ino, nil
	}
	return 0, errors.Join(errs...)
}
