package har

import (
	"errors"
	"os"
)

// A File is what a document is written to that has to be one at any time, also if
// nobody closes it: behind what was written there is always an end.
type File struct {
	f   *os.File
	end int64
}

// NewFile returns a File of an empty one, which was not opened for appending.
func NewFile(f *os.File) *File { return &File{f: f} }

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.f.WriteAt(p, f.end)
	f.end += int64(n)
	if err != nil {
		return n, err
	}
	// Where there is no room for an end, there will be at the next one.
	_, _ = f.f.WriteAt([]byte(tail), f.end)
	return n, nil
}

// Close takes back the end that stands behind that of the document.
func (f *File) Close() error { return errors.Join(f.f.Truncate(f.end), f.f.Close()) }
