//go:build !linux

package splice

// A pipe can't take bytes from a socket on this system.
type pipe struct{}

func newPipe() *pipe { return nil }

func (*pipe) close() {}

func (*pipe) fill(int) (int, error) { return 0, nil }

func (*pipe) drain(int, int) (int, error) { return 0, nil }

func cannotSplice(error) bool { return true }
