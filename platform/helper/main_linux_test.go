package helper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
	"testing"
	"time"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/helper"
)

// TestMain is the program as well, as far as a gateway starts it.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "helper" {
		os.Exit(program(os.Args[2]))
	}
	labtest.Main(m)
}

// Names of what the other processes find in their environment: the pipe that
// steerers write to, and what is special about a test.
const (
	diaryVariable    = "TRANSOM_HELPER_DIARY"
	closedVariable   = "TRANSOM_HELPER_CLOSED"
	patienceVariable = "TRANSOM_HELPER_PATIENCE"
	cleanVariable    = "TRANSOM_HELPER_CLEAN"  // nothing is left by a helper
	mortalVariable   = "TRANSOM_HELPER_MORTAL" // a helper dies of taking back what it has applied
)

// patience is for tests that stop the proxy.
func patience() time.Duration {
	d, _ := time.ParseDuration(os.Getenv(patienceVariable)) // else it is the usual one
	return d
}

func program(what string) int {
	rights := helper.Rights{Open: openFake}
	var err error
	switch what {
	case "watch":
		err = helper.Watch(context.Background(), helper.WatchOptions{Rights: rights})
	case "serve":
		err = helper.Serve(context.Background(), helper.ServeOptions{Rights: rights, Test: selfTest, Patience: patience()})
	case "proxy":
		err = proxy()
	case "root-watch", "root-serve", "root-proxy":
		err = rootProgram(what)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, what, err)
		return 1
	}
	return 0
}

// proxy is a gateway with nothing but a helper. It says when it is ready, and ends
// without a word to the helper when its input ends.
func proxy() error {
	c := charter()
	c.Steering.Closed = os.Getenv(closedVariable) != ""
	h, err := helper.Start(context.Background(), c, helper.Options{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	if err := h.Apply(context.Background(), c.Steering); err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func selfTest(context.Context, helper.Charter) error { return nil }

// fake is a steerer that keeps a diary: lines of a process's id and what it did.
type fake struct {
	diary   *os.File
	applied bool // anything
}

func openFake(_ *slog.Logger, backend string, _ helper.Memory) (helper.Steerer, error) {
	f, err := os.OpenFile(os.Getenv(diaryVariable), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	s := &fake{diary: f}
	return s, s.note("open", backend)
}

func (s *fake) note(words ...any) error {
	_, err := fmt.Fprintf(s.diary, "%d %s", os.Getpid(), fmt.Sprintln(words...))
	return err
}

func (s *fake) Apply(_ context.Context, want platform.Steering) error {
	defer func() { s.applied = true }()
	switch {
	case want.IsZero():
		if s.applied && os.Getenv(mortalVariable) != "" {
			return errors.Join(s.note("dies"), syscall.Kill(os.Getpid(), syscall.SIGKILL))
		}
		return s.note("off")
	case want.Refusing:
		return s.note("refusing")
	case want.Draining:
		return s.note("draining")
	}
	return s.note("on")
}

func (s *fake) Leave(context.Context) error { return s.note("leave") }
func (s *fake) Leftovers(context.Context) ([]string, error) {
	if os.Getenv(cleanVariable) != "" {
		return nil, nil
	}
	return []string{"something"}, nil
}
func (s *fake) Cleanup(context.Context) ([]string, error) { return nil, s.note("cleanup") }
func (s *fake) Abandon() error                            { return s.diary.Close() }
