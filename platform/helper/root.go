package helper

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"transom/platform"
	"transom/platform/pf"
)

// Where pf steers, on macOS, FreeBSD and OpenBSD, rights are root's or nobody's, and
// what is in force belongs to no process: it stays until somebody takes it back. So
// both the helper and its watch go on as root, and either takes back what
// the other one can't:
//
//	proxy ── line ── helper ── pfctl      asks: apply; and pf's lookups by a line of their own
//	          watch ───┘ leash            starts the helper; takes back when it is gone
//
// The watch starts no second helper. Open connections need none; to end them all as
// soon as new ones can't be had is said plainly, and simple.

// A rootRole is what a watch and its helper are told at their start, by their
// standard input; never by the line.
type rootRole struct {
	Charter Charter
}

// readRole reads it to its end.
func readRole(r io.Reader) (role rootRole, brief []byte, err error) {
	brief, err = io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return role, nil, fmt.Errorf("helper: read what it is for: %w", err)
	}
	if err := json.Unmarshal(brief, &role); err != nil {
		return role, nil, fmt.Errorf("helper: read what it is for: %w", err)
	}
	return role, brief, role.Charter.Check()
}

// Descriptors that a watch and a helper of root's are started with. The lookups' line
// comes last, and only if the charter has Lookups.
const (
	rootLineFD    = 3
	rootLockFD    = 4
	rootLeashFD   = 5 // a helper's; it ends with the watch
	watchLookupFD = 5
	rootLookupFD  = 6
)

// What root's processes wait for.
const (
	rootApplyWithin = 10 * time.Second // pfctl does it in less than one
	rootTendEvery   = 10 * time.Second
	rootPatience    = 5 * time.Second
	rootSayWithin   = time.Second // a line has room for what there is to say
	rootEndWithin   = 15 * time.Second
)

// A rootSteerer is a Steerer that can look whether what is in force is still there.
type rootSteerer interface {
	Steerer
	// Tend puts back what others have taken away, and says what that was.
	Tend(ctx context.Context) (back string, err error)
}

// rootRights is how root's processes get at the system.
type rootRights struct {
	Rights
	// Look opens what answers about connections to the listeners.
	Look func() (pf.Looker, io.Closer, error)
}

// inState is the steering of a charter in a state.
func (c *Charter) inState(to state) platform.Steering {
	s := c.Steering
	switch to {
	case off:
		return platform.Steering{}
	case draining:
		s.Draining = true
	case refusing:
		s.Draining, s.Refusing = true, s.Closed
	}
	return s
}

// looks reports whether there are listeners that pf is asked about.
func (c *Charter) looks() bool { return len(c.Lookups) > 0 }
