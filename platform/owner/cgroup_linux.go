package owner

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroupsMost bounds how many paths are kept.
const cgroupsMost = 1024

// cgroups knows cgroups of version 2 by their numbers.
type cgroups struct {
	mount string // "" where there are none
	fd    int    // of mount
	paths map[uint64]string
}

// openCgroups finds where they are mounted: where there are both versions, the second
// is below the first.
func openCgroups() *cgroups {
	c := &cgroups{fd: -1, paths: map[uint64]string{}}
	for _, mount := range [...]string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if err := unix.Statfs(mount, &st); err != nil || int64(st.Type) != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		if fd, err := unix.Open(mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err == nil {
			c.mount, c.fd = mount, fd
			break
		}
	}
	if b, err := os.ReadFile("/proc/self/cgroup"); err == nil {
		c.learn(cgroupIn(string(b))) // programs that a person runs are often in the same one
	}
	return c
}

func (c *cgroups) close() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // nothing was written
	}
}

// learn keeps a path.
func (c *cgroups) learn(path string) {
	var st unix.Stat_t
	if c.mount != "" && path != "" && unix.Stat(c.mount+path, &st) == nil {
		c.paths[roomFor(c.paths, cgroupsMost, st.Ino)] = path
	}
}

// path is the path of a cgroup, "" if it can't be known: that takes the right to open
// files by number (CAP_DAC_READ_SEARCH).
func (c *cgroups) path(id uint64) string {
	if id == 0 || c.mount == "" {
		return ""
	}
	if path, ok := c.paths[id]; ok {
		return path
	}
	const byNumber = 0xfe // FILEID_KERNFS
	fd, err := unix.OpenByHandleAt(c.fd, unix.NewFileHandle(byNumber, binary.NativeEndian.AppendUint64(nil, id)), unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "" // for want of the right, or it has been removed
	}
	defer unix.Close(fd)
	dir, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	path, ok := strings.CutPrefix(dir, c.mount)
	if err != nil || !ok {
		return ""
	}
	if path == "" {
		path = "/"
	}
	c.paths[roomFor(c.paths, cgroupsMost, id)] = path
	return path
}

// members are the processes in a cgroup, those that began last at first.
func (c *cgroups) members(path string) []int {
	if c.mount == "" || path == "" || path == "/" { // where all may be
		return nil
	}
	b, err := os.ReadFile(c.mount + path + "/cgroup.procs")
	if err != nil {
		return nil
	}
	return pidsIn(strings.Fields(string(b)))
}

// roomFor makes room in a map for one key more, by forgetting all.
func roomFor[K comparable, V any](m map[K]V, most int, key K) K {
	if _, ok := m[key]; !ok && len(m) >= most {
		clear(m)
	}
	return key
}
