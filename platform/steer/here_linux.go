package steer

import "log/slog"

// openHere opens what a process can steer by that takes no program.
func openHere(log *slog.Logger) (kernel, error) {
	k, err := Open(log)
	if err != nil {
		return nil, err // not a nil *Kernel in an interface
	}
	return k, nil
}
