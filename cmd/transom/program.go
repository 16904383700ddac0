package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"transom/platform/rootless"
)

// A notRunnable is a program that can't be run. Its exit code is a shell's.
type notRunnable struct {
	error
	code int
}

// programOf finds the program to run: args, or the shell of whoever calls.
func programOf(args []string, env func(string) string) (rootless.Program, error) {
	p := rootless.Program{Args: args, Env: os.Environ()}
	if len(args) == 0 {
		return shellOf(env, p.Env)
	}
	path, err := lookUp(args[0])
	p.Path = path
	return p, err
}

// lookUp finds a program as a shell does.
func lookUp(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case errors.Is(err, exec.ErrDot):
		return path, nil // the person's own path says so
	case errors.Is(err, fs.ErrPermission):
		return "", &notRunnable{fmt.Errorf("%s: not executable", name), exitNotExecutable}
	case err != nil:
		if info, statErr := os.Stat(name); statErr == nil && strings.Contains(name, "/") {
			why := "not executable"
			if info.IsDir() {
				why = "is a directory"
			}
			return "", &notRunnable{fmt.Errorf("%s: %s", name, why), exitNotExecutable}
		}
		return "", &notRunnable{fmt.Errorf("%s: command not found", name), exitNotFound}
	}
	return filepath.Abs(path)
}
