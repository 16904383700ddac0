package helper

import (
	"errors"
	"slices"
	"testing"
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
