package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// Landlock is asked for by the version of its interface: a kernel refuses what it
// does not know. Rights that later versions add are denied from then on, unless
// they are granted here.

// Rights to what is below a directory. Those of a file by itself are a part.
const (
	readFile = unix.LANDLOCK_ACCESS_FS_READ_FILE
	readAll  = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR

	writeFile = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	writeAll  = writeFile | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER
)

// A landlock is what can be asked of a version.
type landlock struct {
	version int
	attr    unix.LandlockRulesetAttr
	size    uintptr // of attr, as far as the version knows it
}

// landlockOf returns what a version can do, and is to do here: no file is opened
// or run without a rule, no TCP port is bound, no abstract Unix socket outside is
// connected to. Connecting by TCP stays free, since that is a proxy's work. Signals
// are not scoped: kernels exist where a thread could then signal no other thread
// of its own process, which Go does.
func landlockOf(version int) landlock {
	const first = unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1 // all of version 1
	l := landlock{version: version, size: unsafe.Offsetof(unix.LandlockRulesetAttr{}.Handled_access_net)}
	l.attr.Handled_access_fs = first
	if version >= 2 {
		l.attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		l.attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		l.attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP
		l.size = unsafe.Offsetof(unix.LandlockRulesetAttr{}.Scoped)
	}
	if version >= 5 {
		l.attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		l.attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
		l.size = unsafe.Offsetof(unix.LandlockRulesetAttr{}.Quiet_access_fs)
	}
	return l
}

// restrictFiles holds every thread to the files of o, if the kernel can.
func restrictFiles(o Options, r *Report) error {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 { // ENOSYS: not built in; EOPNOTSUPP: not switched on
		r.missing("this kernel has no Landlock (", errno.Error(), "): files are protected by their permissions alone")
		return nil
	}
	l := landlockOf(int(version))
	if l.version < 4 {
		r.missing("the Landlock of this kernel is older than Linux 6.7: that no TCP port is bound is left to seccomp")
	}
	fd, err := l.ruleset(o)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, _, errno := psx.Syscall3(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(fd), 0, 0); errno != 0 {
		return fmt.Errorf("enforce the rules: %w", errno)
	}
	r.Landlock = l.version
	return nil
}

// ruleset returns a descriptor of the rules, which the caller closes.
func (l landlock) ruleset(o Options) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&l.attr)), l.size, 0)
	if errno != 0 {
		return -1, fmt.Errorf("make rules of version %d: %w", l.version, errno)
	}
	fd := int(n)
	// psx lists the threads of this process in builds with cgo, also those that
	// are left when the first is restricted.
	err := l.allow(fd, "/proc/self/task", mayLack, 0, unix.LANDLOCK_ACCESS_FS_READ_DIR)
	for _, path := range o.Read {
		err = errors.Join(err, l.allow(fd, path, mayLack, readFile, readAll))
	}
	for _, path := range o.Write {
		err = errors.Join(err, l.allow(fd, path, mustExist, readFile|writeFile, readAll|writeAll))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Whether a rule is needed if its file is not there or can't be reached.
const (
	mustExist = false
	mayLack   = true
)

// allow adds a rule: file are the rights if path is a file, below if it is a
// directory. It goes by what is at the path now.
func (l landlock) allow(ruleset int, path string, lacking bool, file, below uint64) error {
	at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if lacking && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR)) {
		return nil // nobody could open it anyway
	}
	if err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return fmt.Errorf("allow %s: %w", path, err)
	}
	rights := file
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		rights = below
	}
	rule := &unix.LandlockPathBeneathAttr{Allowed_access: rights & l.attr.Handled_access_fs, Parent_fd: int32(at)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(rule)), 0, 0, 0)
	runtime.KeepAlive(rule)
	if errno != 0 {
		return fmt.Errorf("allow %s: %w", path, errno)
	}
	return nil
}
