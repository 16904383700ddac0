package rootless

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// A Cgroup is that of one program and what it starts, by which packets of theirs are
// known. Who made it removes it, unless it was given to New.
type Cgroup struct {
	Path string // below the mount of cgroup2
	dir  string
}

// NewCgroup makes a cgroup: below this process's own, so that who counts or ends
// what is in that does so with the program too, or else at the top. It takes root.
func NewCgroup() (*Cgroup, error) {
	mount, err := cgroupMount()
	if err != nil {
		return nil, err
	}
	ours, err := cgroupNames()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, parent := range []string{ownCgroup(), "/"} {
		c := &Cgroup{Path: filepath.Join(parent, ours+strconv.Itoa(os.Getpid()))}
		c.dir = filepath.Join(mount, c.Path)
		tidy(filepath.Dir(c.dir), ours)
		err := os.Mkdir(c.dir, 0o755)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("make a cgroup for the program: %w", errors.Join(errs...))
}

// cgroupNames is what the names of our cgroups begin with; the maker's pid follows. Pids
// are those of a namespace, and containers may have the parent in common.
func cgroupNames() (string, error) {
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &ns); err != nil {
		return "", fmt.Errorf("look which namespace of processes this one is in: %w", err)
	}
	return fmt.Sprintf("transom-%d-", ns.Ino), nil
}

// tidy removes empty cgroups below dir, of names that begin so, whose makers are gone,
// which were killed along with everybody who would have removed them.
func tidy(dir, names string) {
	below, _ := os.ReadDir(dir) // or there is nothing to tidy
	for _, e := range below {
		number, ours := strings.CutPrefix(e.Name(), names)
		pid, err := strconv.Atoi(number)
		if !ours || err != nil || pid != os.Getpid() && !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		_ = os.Remove(filepath.Join(dir, e.Name())) // unless somebody is in it
	}
}

// cgroupMount is where cgroups of version 2 are. Hosts that have both versions mount
// the second below the first.
func cgroupMount() (string, error) {
	mounts := [...]string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}
	first := false
	for i, dir := range mounts {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			continue
		}
		if int64(st.Type) == unix.CGROUP2_SUPER_MAGIC {
			return dir, nil
		}
		if kids, err := os.ReadDir(dir); i == 0 && err == nil && len(kids) > 0 {
			first = true
		}
	}
	if first {
		return "", fmt.Errorf("cgroups here are of version 1 alone, by which packets can't be told apart: mount version 2 beside them (mount -t cgroup2 none /sys/fs/cgroup/unified) or start the kernel with systemd.unified_cgroup_hierarchy=1: %w", platform.ErrUnsupported)
	}
	return "", fmt.Errorf("there are no cgroups at %s, by which the program's packets would be known: mount -t cgroup2 none %s: %w", mounts[0], mounts[0], platform.ErrUnsupported)
}

// ownCgroup is this process's, as it sees it; the top if it can't.
func ownCgroup() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::/"); ok && !strings.HasPrefix(path, "..") {
			return "/" + path
		}
	}
	return "/"
}

// Remove ends what is in the cgroup, at once, and removes it. It may be called again.
func (c *Cgroup) Remove() error { return removeCgroup(c.dir) }

// removeWithin is how long the kernel may take to end what is in a cgroup.
const removeWithin = 5 * time.Second

// removeCgroup is Remove of the cgroup at dir. One that is gone is no error: there
// may be two who see to it.
func removeCgroup(dir string) error {
	err := emptyCgroup(dir)
	below, _ := os.ReadDir(dir) // or it is gone
	for _, e := range below {
		if e.IsDir() { // the program may have rights of its own to make some
			err = errors.Join(err, removeCgroup(filepath.Join(dir, e.Name())))
		}
	}
	if e := os.Remove(dir); e != nil && !errors.Is(e, fs.ErrNotExist) {
		return errors.Join(err, e)
	}
	return nil
}

// emptyCgroup ends all that is in a cgroup and below it, and waits until it is gone.
func emptyCgroup(dir string) error {
	events, err := os.Open(filepath.Join(dir, "cgroup.events"))
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer events.Close()
	for until := time.Now().Add(removeWithin); ; {
		b := make([]byte, 256)
		n, err := events.ReadAt(b, 0)
		if gone(err) || strings.Contains(string(b[:n]), "populated 0") {
			return nil
		}
		left := time.Until(until)
		if left <= 0 {
			return fmt.Errorf("what is in %s does not end", dir)
		}
		if err := killCgroup(dir); err != nil && !gone(err) {
			return err
		}
		change := []unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}
		_, _ = unix.Poll(change, int(min(left, time.Second/4).Milliseconds())+1) // then it is looked at again
	}
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) }

// killCgroup kills all that is in a cgroup, one after the other where the kernel is
// older than Linux 5.14.
func killCgroup(dir string) error {
	err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for _, pid := range members(dir) {
		_ = unix.Kill(pid, unix.SIGKILL) // it may have ended
	}
	return nil
}

// members are the processes in a cgroup itself.
func members(dir string) []int {
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var out []int
	for line := range strings.Lines(string(b)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out
}
