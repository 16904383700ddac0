package helper_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

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

// diaryVariable names the pipe that steerers of other processes write to.
const diaryVariable = "TRANSOM_HELPER_DIARY"

func program(what string) int {
	rights := helper.Rights{Open: openFake}
	var err error
	switch what {
	case "watch":
		err = helper.Watch(context.Background(), helper.WatchOptions{Rights: rights})
	case "serve":
		err = helper.Serve(context.Background(), helper.ServeOptions{Rights: rights, Test: selfTest, Patience: patience()})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, what, err)
		return 1
	}
	return 0
}

func selfTest(context.Context, helper.Charter) error { return nil }

// fake is a steerer that keeps a diary: lines of a process's id and what it did.
type fake struct{ diary *os.File }

func openFake(_ *slog.Logger, backend string) (helper.Steerer, error) {
	f, err := os.OpenFile(os.Getenv(diaryVariable), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	s := &fake{f}
	return s, s.note("open", backend)
}

func (s *fake) note(words ...any) error {
	_, err := fmt.Fprintf(s.diary, "%d %s", os.Getpid(), fmt.Sprintln(words...))
	return err
}

func (s *fake) Apply(_ context.Context, want platform.Steering) error {
	switch {
	case want.IsZero():
		return s.note("off")
	case want.Draining:
		return s.note("draining")
	}
	return s.note("on")
}

func (s *fake) Leave(context.Context) error { return s.note("leave") }
func (s *fake) Abandon() error              { return s.diary.Close() }
