// Command testreport runs go test and says at the end what did not run. It
// prints what go test prints, failures in full, then the list of skipped tests
// with their reasons, and a line with the numbers.
//
// Its arguments are those of go test. With RACE=1 in the environment everything
// runs a second time under the race detector, if there is a C compiler. With
// TRANSOM_TEST_ALL=1 a skip is a failure.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	// An interrupt reaches go test too, which ends; we stay and report.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	signal.Ignore(os.Interrupt)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run does it all and returns the exit code: 0 if everything passed, 1 if
// something failed or was skipped and must not be, 2 if the tests could not be
// run.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	r := newReport(stdout)
	worst := 0
	pass := func(env []string, args ...string) {
		if err := gotest(ctx, r, args, env, stderr); err != nil {
			fmt.Fprintf(stderr, "testreport: %v\n", err)
			worst = 2
		}
	}
	pass(env, args...)
	if lookup(env, "RACE") == "1" && ctx.Err() == nil {
		if why := noRace(ctx, env); why != "" {
			r.skip("race detector", "", why)
		} else {
			fmt.Fprintln(stdout, "\nonce more, under the race detector:")
			pass(append(env[:len(env):len(env)], "CGO_ENABLED=1"), append([]string{"-race"}, args...)...)
		}
	}
	r.end(lookup(env, "TRANSOM_TEST_ALL") == "1")
	if worst == 0 && !r.good {
		worst = 1
	}
	return worst
}

// gotest runs go test once. Failing tests are the report's affair; the error is
// for what kept them from running.
func gotest(ctx context.Context, r *report, args, env []string, stderr io.Writer) error {
	// go test's own ten minutes are few for the tests in namespaces on a slow machine.
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", "-timeout=1h"}, args...)...)
	cmd.Env, cmd.Stderr = env, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := r.failed
	readErr := r.read(out)
	err = cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && r.failed > before {
		err = nil // told already
	}
	if err != nil {
		err = fmt.Errorf("go test: %w", err)
	}
	return errors.Join(readErr, err)
}

// noRace says why the race detector can't be used, "" if it can.
func noRace(ctx context.Context, env []string) string {
	cmd := exec.CommandContext(ctx, "go", "env", "CC")
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		return "go env CC: " + err.Error()
	}
	cc := strings.Fields(string(out))
	if len(cc) == 0 {
		return "needs: a C compiler"
	}
	if _, err := exec.LookPath(cc[0]); err != nil {
		return "needs: a C compiler (" + cc[0] + ")"
	}
	return ""
}

// lookup returns the last value of a variable, as the programs we start see it.
func lookup(env []string, name string) string {
	value := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}
