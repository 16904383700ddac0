package doctor

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"transom/platform/helper"
)

// Steers returns the transom that steers this thread's network namespace, nil if
// none can be seen.
func Steers() *Running {
	who := helper.Running()
	if who == nil {
		return nil
	}
	return process(who.PID)
}

// Seen returns the first of some transoms that was started as a gateway, for who has no
// right to see which of them steers; nil if none was.
func Seen(pids []int) *Running {
	for _, pid := range pids {
		if r := process(pid); slices.Contains(r.Args, "gateway") {
			return r
		}
	}
	return nil
}

// process says how a transom was started.
func process(pid int) *Running {
	r := &Running{PID: pid}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && r.PID != 0 {
		r.Args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	r.Dir, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)) // who may not see it does without
	return r
}

// running says which transom is judged.
func running(m *Machine) []Finding {
	switch {
	case m.Running == nil:
		return nil
	case m.Running.PID == 0:
		return []Finding{{ID: "running", Level: Note, What: "a transom in another container steers this network"}}
	}
	return ok("running", fmt.Sprintf("a transom runs (process %d): this is about what it has in force", m.Running.PID))
}
