package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"
)

// A replacement is a file that takes the place of another when it is whole.
type replacement struct {
	io.Writer
	file *os.File // nil: stdout, or something that is no file
	name string
}

// replace begins one. - is stdout, which gets nothing binary if it is a terminal.
func replace(name string, stdout io.Writer, binary bool) (*replacement, error) {
	if name == "-" {
		if f, ok := stdout.(*os.File); ok && binary && term.IsTerminal(int(f.Fd())) {
			return nil, usagef("-o -: that is a terminal, and the format is binary: name a file, or pipe it somewhere")
		}
		return &replacement{Writer: stdout}, nil
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("-o: %w", err)
		}
		return &replacement{Writer: f, file: f}, nil
	}
	if _, err := os.Stat(filepath.Dir(name)); err != nil {
		return nil, usagef("-o %s: %w", name, err)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".transom-*") // for its owner alone
	if err != nil {
		return nil, fmt.Errorf("-o %s: %w", name, err)
	}
	return &replacement{Writer: f, file: f, name: name}, nil
}

// keep puts it in its place.
func (r *replacement) keep() error {
	switch {
	case r.file == nil:
		return nil
	case r.name == "":
		return r.file.Close()
	}
	if err := errors.Join(r.file.Sync(), r.file.Close()); err != nil {
		return errors.Join(err, os.Remove(r.file.Name()))
	}
	return os.Rename(r.file.Name(), r.name)
}

// giveUp leaves what was there as it was.
func (r *replacement) giveUp() error {
	switch {
	case r.file == nil:
		return nil
	case r.name == "":
		return r.file.Close()
	}
	return errors.Join(r.file.Close(), os.Remove(r.file.Name()))
}
