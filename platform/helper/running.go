package helper

import "fmt"

// A RunningError says that another transom steers this network namespace.
type RunningError struct {
	PID   int  // the process to end; 0 if it is not known, as in another pid namespace
	Ended bool // it has ended, and what it has put into the kernel is being taken back
}

// Error implements error.
func (e *RunningError) Error() string {
	switch {
	case e.PID == 0:
		return "another transom, whose process can't be seen from here (it may be in a container), steers this network already: stop it first"
	case e.Ended:
		return fmt.Sprintf("another transom (process %d) has ended just now, and what it has put into the kernel is still being taken back: try again in a few seconds", e.PID)
	}
	return fmt.Sprintf("another transom (process %d) steers this network already: stop it first, by kill %[1]d", e.PID)
}
