package steer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// OwnCgroup returns the path of this process's cgroup below the cgroup2 mount,
// if nobody else is in it, as in a service of its own; else "": then it says
// nothing about who sends something.
func OwnCgroup() (string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find the cgroup: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok || path == "/" {
			continue
		}
		members, err := os.ReadFile("/sys/fs/cgroup" + path + "/cgroup.procs")
		if err != nil {
			return "", nil // not mounted there: a hybrid or a container
		}
		if strings.TrimSpace(string(members)) == strconv.Itoa(os.Getpid()) {
			return strings.TrimPrefix(path, "/"), nil
		}
	}
	return "", nil
}
