package doctor

import (
	"fmt"
	"os"
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
	r := &Running{PID: who.PID}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", who.PID)); err == nil && r.PID != 0 {
		r.Args = strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	}
	r.Dir, _ = os.Readlink(fmt.Sprintf("/proc/%d/cwd", who.PID)) // who may not see it does without
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
