package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"transom/platform/sandbox"
)

// Bounds of the kernel's (fs/exec.c): how much of a file it looks at, and how many
// scripts may be interpreted by scripts.
const (
	headMost    = 256
	scriptsMost = 5
)

// interpreted returns an error if program is a script of which somebody else than
// root can choose what runs: the program behind #!, which gets the capability.
func interpreted(program string) error {
	at := program
	for range scriptsMost + 1 {
		next, err := interpreter(at)
		if err != nil {
			return fmt.Errorf("refuse to run %s: look whether %s is a script: %w", program, at, err)
		}
		if next == "" {
			return nil
		}
		if _, err := sandbox.RootsOwnByLinks(next); err != nil {
			return fmt.Errorf("refuse to run %s, a script that is run by %s: %w", program, next, err)
		}
		at = next
	}
	return fmt.Errorf("refuse to run %s: too many scripts run each other", program)
}

// interpreter is what a script names behind #!, "" if the file is none.
func interpreter(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, headMost)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return behindBang(b[:n]), nil
}

func behindBang(head []byte) string {
	rest, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return ""
	}
	rest = bytes.TrimLeft(rest, " \t")
	if end := bytes.IndexAny(rest, " \t\n\x00"); end >= 0 {
		rest = rest[:end]
	}
	return string(rest)
}
