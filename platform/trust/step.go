package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A Step is one change of the machine. Exactly one of Write, Remove and Run is set.
type Step struct {
	Write  string // a file to write, of the system's
	Data   []byte // what to write
	Remove string // a file to remove, of the system's
	Run    Command
}

// Own reports whether the step changes only what is the person's own. The others
// take root.
func (s Step) Own() bool { return s.Run.Own }

// String says the step as a person would do it.
func (s Step) String() string {
	switch {
	case s.Write != "":
		return "write " + s.Write
	case s.Remove != "":
		return "remove " + s.Remove
	}
	text := "run " + quote(s.Run.Args)
	if len(s.Run.Stdin) > 0 {
		text += " < certificate"
	}
	return text
}

// quote writes a command so that a shell reads it as it is.
func quote(args []string) string {
	words := make([]string, len(args))
	for i, arg := range args {
		words[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$`*?[]{}()<>|&;#~!") {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// Do takes steps in order and stops at the first that fails.
func (m *Machine) Do(ctx context.Context, steps []Step) error {
	for _, s := range steps {
		if err := m.do(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (m *Machine) do(ctx context.Context, s Step) error {
	switch {
	case s.Write != "":
		return writeFile(m.at(s.Write), s.Data)
	case s.Remove != "":
		if err := os.Remove(m.at(s.Remove)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	_, err := m.Run(ctx, s.Run)
	return err
}

// writeFile writes a file that everybody may read, whole or not at all: what reads
// it may come at any time.
func writeFile(name string, data []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".transom-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is not there any more if all went well
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
