package platform

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedElsewhere returns the process that has the lock of a file, if it is in another
// network namespace, where its control socket can't be found from here. Of processes that
// may not be looked into it does not know.
func LockedElsewhere(path string) (pid int, ok bool) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0, false
	}
	f, err := os.Open("/proc/locks")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	pid = holder(f, fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino))
	if pid <= 0 { // or of another PID namespace
		return 0, false
	}
	here, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return 0, false
	}
	there, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return pid, err == nil && here != there
}

// holder finds who has the lock of a file in a list of locks (proc_locks(5)), as in
//
//	1: FLOCK  ADVISORY  WRITE 4711 08:01:131 0 EOF
func holder(locks io.Reader, file string) int {
	lines := bufio.NewScanner(locks)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != file { // who waits has an arrow before it
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			return pid
		}
	}
	return 0
}
