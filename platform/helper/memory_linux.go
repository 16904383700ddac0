package helper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// A memory is what a helper wants its successor, or the watch, to know of what it has
// changed: memory that all of them share and that no file system shows. It is gone
// with the last of them. It holds lines of JSON, each in place of those before it, so
// that who dies while writing has not written.
type memory struct{ f *os.File }

var _ Memory = (*memory)(nil)

// memoryMax is when it starts over.
const memoryMax = 16 << 10

func newMemory() (*memory, error) {
	fd, err := unix.MemfdCreate("transom", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("helper: memory to share: %w", err)
	}
	return &memory{os.NewFile(uintptr(fd), "memory")}, nil
}

// Recall implements Memory.
func (m *memory) Recall() ([]string, error) {
	lines, _, _, err := m.read()
	return lines, err
}

// Keep implements Memory.
func (m *memory) Keep(lines []string) error {
	before, from, end, err := m.read()
	if err == nil && slices.Equal(lines, before) {
		return nil
	}
	b, e := json.Marshal(lines)
	if e != nil {
		return e
	}
	b = append(b, '\n')
	switch size := int64(len(b)); {
	case err != nil: // there is nothing to lose
		if err := m.f.Truncate(0); err != nil {
			return err
		}
		end = 0
	case end > memoryMax && size <= from: // from the start, which counts when what is behind it is cut off
		if _, err := m.f.WriteAt(b, 0); err != nil {
			return err
		}
		return m.f.Truncate(size)
	}
	_, err = m.f.WriteAt(b, end)
	return err
}

// read returns what was last written wholly, and where that begins and ends.
func (m *memory) read() (lines []string, from, end int64, err error) {
	info, err := m.f.Stat()
	if err != nil {
		return nil, 0, 0, err
	}
	b := make([]byte, info.Size())
	if _, err := m.f.ReadAt(b, 0); err != nil {
		return nil, 0, 0, err
	}
	whole := bytes.LastIndexByte(b, '\n')
	if whole < 0 {
		return nil, 0, 0, nil
	}
	start := bytes.LastIndexByte(b[:whole], '\n') + 1
	if err := json.Unmarshal(b[start:whole], &lines); err != nil {
		return nil, 0, 0, errors.Join(errBroken, err)
	}
	return lines, int64(start), int64(whole) + 1, nil
}
