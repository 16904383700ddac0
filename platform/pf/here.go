package pf

import (
	"io"
	"os"
	"runtime"
)

// RootAlone reports whether this system's pf answers nobody but root, at whatever
// time it is asked: then who gives up root needs an Asker.
func RootAlone() bool { return runtime.GOOS == "darwin" }

// Here opens this system's pf, while the process has the right to; ok is false if
// the system has none. What it lacks is an error of each question: who is asked
// about what pf has not redirected need not be asked at all.
func Here() (t *Table, ok bool) {
	layout, ok := LayoutOf(runtime.GOOS)
	if !ok {
		return nil, false
	}
	t = &Table{Layout: layout, Domain: domain(), States: printed(runtime.GOOS, os.Geteuid() == 0)}
	device, err := Open()
	if err != nil {
		t.Device = failing{err}
		return t, true
	}
	t.Device = device
	return t, true
}

// Close closes the device, if it can be closed.
func (t *Table) Close() error {
	if c, ok := t.Device.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Ready returns nil if the device was opened.
func (t *Table) Ready() error {
	if f, ok := t.Device.(failing); ok {
		return t.explain(f.error)
	}
	return nil
}

// printed is how the states are printed. Without root it takes a rule of sudo's, as
// mitmproxy has users write: ALL ALL=NOPASSWD: /sbin/pfctl -s state
func printed(system string, root bool) *States {
	list := []string{"/sbin/pfctl", "-s", "state"}
	switch {
	case root:
		return &States{Command: list}
	case system == "openbsd": // whose /dev/pf can be kept open
		return nil
	}
	return &States{Command: append([]string{"sudo", "-n"}, list...)}
}

// failing is a device that could not be opened.
type failing struct{ error }

// Ioctl implements Device.
func (f failing) Ioctl(uint32, []byte) error { return f.error }
