package platform

import (
	"errors"
	"fmt"
)

// ErrNotOurs says that a socket belongs to somebody whom this process has no reason to
// trust.
var ErrNotOurs = errors.New("it is not root's, nor of who runs this")

// controlName is what the control socket of a process is called.
func controlName(pid int) string { return fmt.Sprintf("transom-flows-%d", pid) }
