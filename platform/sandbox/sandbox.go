// Package sandbox knows who the process runs as and which capabilities it has,
// and gives them up: all of them for the process that parses what strangers
// send (Drop), all but a few for the one that helps it (Keep). What is given up
// does not come back. It starts no process and steers no packet; what a system
// lacks it says.
//
// Rights belong to threads. What this package takes away it takes from each
// thread of the process, and those that start later inherit. No goroutine may
// meanwhile have changed its own thread's rights: the threads have to agree, and
// the process ends if they don't.
package sandbox

import (
	"log/slog"
	"strconv"
	"strings"
)

// Options say what Drop leaves.
type Options struct {
	// User is whom to become; nil stays who we are. Where that is impossible
	// (see Within) the process stays who it is, without capabilities, and the
	// report says so.
	User *User
	// Read are files, and directories with all below them, that may still be
	// opened to be read. Those that are not there are left out.
	Read []string
	// Write are those in which files may also be written, made and removed. They
	// must be there.
	Write []string
	// Log gets a line about what took effect, for debugging, and a warning for each
	// thing that is lacking; nil is silence.
	Log *slog.Logger
}

// A Report says what took effect.
type Report struct {
	User     User     // who the process is now
	Landlock int      // version of the kernel's Landlock that holds the file rules; 0 is none
	Seccomp  bool     // system calls are held to a list
	Missing  []string // what could not be had here and why, a sentence each
}

// missing adds a sentence.
func (r *Report) missing(parts ...string) {
	r.Missing = append(r.Missing, strings.Join(parts, ""))
}

// String says it in one line.
func (r Report) String() string {
	landlock, seccomp := "no Landlock", "no seccomp"
	if r.Landlock > 0 {
		landlock = "Landlock " + strconv.Itoa(r.Landlock)
	}
	if r.Seccomp {
		seccomp = "seccomp"
	}
	return "runs as " + r.User.String() + " without capabilities, " + landlock + ", " + seccomp
}

// tell logs a report.
func (r Report) tell(log *slog.Logger) {
	if log == nil {
		return
	}
	log.Debug("rights given up", "user", r.User.String(), "landlock", r.Landlock, "seccomp", r.Seccomp)
	for _, m := range r.Missing {
		log.Warn(m)
	}
}
