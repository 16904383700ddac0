package helper

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemory(t *testing.T) {
	m, err := newMemory()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.f.Close() })
	recall := func(want ...string) {
		t.Helper()
		if got, err := m.Recall(); err != nil || !slices.Equal(got, want) {
			t.Errorf("recalled %q, %v, want %q", got, err, want)
		}
	}
	keep := func(lines ...string) {
		t.Helper()
		if err := m.Keep(lines); err != nil {
			t.Fatal(err)
		}
		recall(lines...)
	}
	recall()
	keep("net.ipv4.ip_forward = 1 (was 0)", "b\n")
	keep()
	keep("a")
	info, err := m.f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	// Who is killed while writing has not written.
	if _, err := m.f.WriteAt([]byte(`["a long line that is not who`), info.Size()); err != nil {
		t.Fatal(err)
	}
	recall("a")
	keep("b")
	// It does not grow without end.
	for range 2 * memoryMax / 8 {
		if err := errors.Join(m.Keep([]string{"x"}), m.Keep([]string{"y"})); err != nil {
			t.Fatal(err)
		}
	}
	recall("y")
	if info, err = m.f.Stat(); err != nil || info.Size() > memoryMax+1024 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

// TestMemoryStartsOver: who is killed while it starts over has not written either. It
// is stopped by what it may not do.
func TestMemoryStartsOver(t *testing.T) {
	for name, seal := range map[string]int{"writes": unix.F_SEAL_WRITE, "cuts-off": unix.F_SEAL_SHRINK} {
		t.Run(name, func(t *testing.T) {
			fd, err := unix.MemfdCreate("transom", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
			if err != nil {
				t.Fatal(err)
			}
			m := &memory{os.NewFile(uintptr(fd), "memory")}
			t.Cleanup(func() { m.f.Close() })
			before := []string{strings.Repeat("x", memoryMax)}
			if err := errors.Join(m.Keep([]string{"first"}), m.Keep(before)); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.FcntlInt(m.f.Fd(), unix.F_ADD_SEALS, seal); err != nil {
				t.Fatal(err)
			}
			err = m.Keep([]string{})
			if got, e := m.Recall(); err == nil || e != nil || !slices.Equal(got, before) {
				t.Errorf("kept: %v; recalled %.20q, %v", err, got, e)
			}
		})
	}
}
