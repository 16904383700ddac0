package rootless

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A family is this process's children, those that it has started and those whose
// parents have ended, and who is in a cgroup, if there is one.
type family struct {
	cgroup string     // its directory
	ended  chan child // and stopped; closed when there are none any more
}

// A child is what became of one.
type child struct {
	pid    int
	status unix.WaitStatus
}

func newFamily(cgroup string) *family { return &family{cgroup: cgroup, ended: make(chan child)} }

// reap waits for all children until there are none.
func (f *family) reap() {
	defer close(f.ended)
	for {
		var c child
		var err error
		if c.pid, err = unix.Wait4(-1, &c.status, unix.WUNTRACED, nil); errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return // ECHILD
		}
		f.ended <- c
	}
}

// killWithin bounds the wait for the kernel to end processes.
const killWithin = 5 * time.Second

// dismiss ends all of them, and those that their end makes ours, until there are
// none; it returns how many there were. Those that are not gone within some time are
// killed.
func (f *family) dismiss(by unix.Signal, within time.Duration) int {
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); errors.Is(err, unix.ECHILD) {
		return 0
	}
	told := map[int]bool{}
	late := time.After(within)
	tooLate := time.After(within + killWithin)
	for {
		untold := slices.DeleteFunc(f.members(), func(pid int) bool { return told[pid] && by != unix.SIGKILL })
		for some := range slices.Chunk(untold, heldAtOnce) {
			for _, pid := range signalThose(some, f.members, by) {
				told[pid] = true
			}
		}
		select {
		case _, ok := <-f.ended:
			if !ok {
				return len(told)
			}
		case <-late:
			by = unix.SIGKILL
		case <-tooLate:
			return len(told)
		}
	}
}

// members are all that live.
func (f *family) members() []int {
	pids := childrenOf(os.Getpid())
	if f.cgroup != "" {
		pids = append(pids, members(f.cgroup)...)
		slices.Sort(pids)
		pids = slices.Compact(pids)
	}
	return pids
}

// heldAtOnce bounds the descriptors that are open for processes.
const heldAtOnce = 128

// signalThose signals processes of a list, if they are still members, and returns those
// that were. Others wait for children meanwhile, so a number of the list may be somebody
// else's by now: what is held first, and a member then, is who was meant.
func signalThose(list []int, members func() []int, by unix.Signal) (told []int) {
	held := map[int]int{}
	for _, pid := range list {
		fd, err := unix.PidfdOpen(pid, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil { // older than Linux 5.3, or not allowed in a container
			fd = -1
		} else {
			defer unix.Close(fd)
		}
		held[pid] = fd
	}
	for _, pid := range members() {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		told = append(told, pid)
		for _, s := range []unix.Signal{by, unix.SIGCONT} { // or a stopped one would not hear of it
			if fd >= 0 {
				_ = unix.PidfdSendSignal(fd, s, nil, 0) // or it has ended
			} else {
				_ = unix.Kill(pid, s)
			}
		}
	}
	return told
}

// sweep removes the cgroup, if there is one.
func (f *family) sweep() error {
	if f.cgroup == "" {
		return nil
	}
	return removeCgroup(f.cgroup)
}

// childrenOf lists processes by their parent.
func childrenOf(pid int) []int {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, n := range names {
		p, err := strconv.Atoi(n.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + n.Name() + "/stat")
		if err == nil && parentIn(string(stat)) == pid {
			out = append(out, p)
		}
	}
	return out
}

// parentIn reads the parent in a stat line. The name before it may hold anything.
func parentIn(stat string) int {
	_, rest, _ := strings.Cut(stat[strings.LastIndexByte(stat, ')')+1:], " ")
	words := strings.Fields(rest)
	if len(words) < 2 || words[0] == "Z" { // it has ended
		return 0
	}
	n, _ := strconv.Atoi(words[1])
	return n
}
