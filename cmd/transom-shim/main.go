// Command transom-shim runs a program as whoever calls it, with a capability that
// the caller has not: with it, transom assumes clients' addresses without being
// started by root. Root says who may run what in /etc/transom/shim.conf, and gives
// this program rights by set-user-ID or file capabilities; installed as it is built
// it can do nothing.
//
// The program is older than transom gateway, which makes it unnecessary, and mends
// what its model, mitmproxy's shim, let everybody do.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"

	"transom/platform/sandbox"
)

// Exit codes, as a shell has them. That of the program is its own.
const (
	exitUsage         = 2
	exitNotExecutable = 126 // refused, too
)

const usage = `transom-shim runs PROGRAM as you, with a capability that you lack.

Usage:
  transom-shim PROGRAM [ARG]...

PROGRAM is an absolute path that root has allowed in ` + confName + `, where
each line has a program, a group whose members may run it, and the capabilities
that it gets (cap_net_raw, if none are given):

  /usr/local/bin/transom  transom-shim  cap_net_raw
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(exitUsage)
	}
	if os.Args[1] == "-h" || os.Args[1] == "--help" {
		if _, err := io.WriteString(os.Stdout, usage); err != nil {
			os.Exit(1)
		}
		return
	}
	fmt.Fprintf(os.Stderr, "transom-shim: %v\n", run(os.Args[1:]))
	os.Exit(exitNotExecutable)
}

// run returns only if there is something wrong.
func run(args []string) error {
	given := os.Environ()
	os.Clearenv() // of a uid that is in no file os/user believes HOME and USER
	program := args[0]
	caps, err := granted(confName, program, callerGroups)
	if err != nil {
		return err
	}
	if err := fit(program); err != nil {
		return err
	}
	env := environment(given, caller())
	err = sandbox.BecomeReal(caps.Caps()...)
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w: root has to give its file the right, by chmod u+s or setcap %s+p (which have no effect on a file system that is mounted nosuid, under no_new_privs, or in a debugger)", err, caps)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("start %s: %w", program, syscall.Exec(program, args, env))
}

// fit returns an error if program is not one that root alone can have put there,
// or one that would not get what it is given.
func fit(program string) error {
	info, err := sandbox.RootsOwn(program)
	if err != nil {
		return fmt.Errorf("refuse to run %s: %w", program, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("refuse to run %s: it is no file", program)
	}
	rights, err := sandbox.HasRights(program, info)
	if err == nil && rights {
		err = errors.New("it has rights of its own (set-user-ID, set-group-ID or file capabilities), with which it gets no others")
	}
	if err != nil {
		return fmt.Errorf("refuse to run %s: %w", program, err)
	}
	return interpreted(program)
}

// callerGroups are the groups of whoever called. Root is in all.
func callerGroups(gid int) (bool, error) {
	if os.Getuid() == 0 || gid == os.Getgid() {
		return true, nil
	}
	more, err := os.Getgroups()
	if err != nil {
		return false, fmt.Errorf("find your groups: %w", err)
	}
	return slices.Contains(more, gid), nil
}
