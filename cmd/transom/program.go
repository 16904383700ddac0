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

// inside is in the environment of what runs inside, and of nothing else.
const inside = "TRANSOM=run"

// programOf finds the program to run: args, or the shell of whoever calls, who may be
// a person.
func programOf(args []string, env func(string) string, person bool) (shell, error) {
	environ := withEnv(os.Environ(), []string{inside})
	if len(args) == 0 {
		return shellOf(env, environ, person)
	}
	path, err := lookUp(args[0])
	return shell{Program: rootless.Program{Path: path, Args: args, Env: environ}}, err
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
		return "", &notRunnable{notFound(name), exitNotFound}
	}
	return filepath.Abs(path)
}

// builtIn are commands that shells have, and no file.
const builtIn = " . alias bg cd eval exec exit export fg history jobs read set source trap type ulimit umask unset "

func notFound(name string) error {
	switch {
	case name == "":
		return errors.New("the name of the program is empty")
	case strings.Contains(builtIn, " "+name+" "):
		return fmt.Errorf("%s: command not found: it is a part of the shell, as in transom run sh -c '%s …'", name, name)
	}
	return fmt.Errorf("%s: command not found", name)
}
