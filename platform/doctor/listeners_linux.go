package doctor

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// findListeners finds who listens where transom would, or does.
func (m *Machine) findListeners() { m.Ports = listenersOn(m.Steering.Port, m.Running) }

func listenersOn(port uint16, running *Running) (all []Listener) {
	owners := map[uint64][]int{}
	for _, file := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile("/proc/thread-self/net/" + file)
		if err != nil {
			continue // there is no IPv6
		}
		list, inodes := parseListeners(string(b), port)
		if len(list) > 0 && len(owners) == 0 {
			owners = socketOwners()
		}
		for i := range list {
			whose := owners[inodes[i]]
			if len(whose) == 0 {
				continue
			}
			list[i].PID, list[i].Name = whose[0], processName(whose[0])
			list[i].Ours = running != nil && slices.Contains(whose, running.PID)
		}
		all = append(all, list...)
	}
	return all
}

// socketOwners finds the processes that have sockets, by these's inodes: of those
// that may be looked at.
func socketOwners() map[uint64][]int {
	owners := map[uint64][]int{}
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return owners
	}
	for _, p := range processes {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + p.Name() + "/fd"
		files, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			to, err := os.Readlink(dir + "/" + f.Name())
			if err != nil {
				continue
			}
			number, ok := strings.CutPrefix(to, "socket:[")
			if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); ok && err == nil {
				owners[inode] = append(owners[inode], pid)
			}
		}
	}
	return owners
}

func processName(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
