package helper_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/platform/helper"
)

// TestEnvironment: watch and helper find in theirs what they are given.
func TestEnvironment(t *testing.T) {
	b := bedWithoutHelper(t)
	t.Setenv("LD_AUDIT", "/nonexistent")
	want := diaryVariable + "=" + os.Getenv(diaryVariable)
	err := b.Gateway.Do(func() (err error) {
		b.Client, err = helper.Start(t.Context(), charter(), helper.Options{Env: []string{want}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	pid := b.diary.await(t, "open nft")
	for _, p := range []int{pid, parent(t, pid)} {
		got, err := os.ReadFile("/proc/" + strconv.Itoa(p) + "/environ")
		if string(got) != want+"\x00" || err != nil {
			t.Errorf("process %d has %q, %v", p, got, err)
		}
	}
}

func TestStartFails(t *testing.T) {
	b := bedWithoutHelper(t)
	for name, tt := range map[string]struct {
		how  func(*testing.T, *helper.Charter, *helper.Options) context.Context
		want string
	}{
		"charter": {func(t *testing.T, c *helper.Charter, _ *helper.Options) context.Context {
			c.Steering.Port = 0
			return t.Context()
		}, "port"},
		"program": {func(t *testing.T, _ *helper.Charter, o *helper.Options) context.Context {
			o.Program = "/nowhere/transom"
			return t.Context()
		}, "/nowhere/transom"},
		"another-program": {func(t *testing.T, _ *helper.Charter, o *helper.Options) context.Context {
			o.Program = "/bin/true"
			return t.Context()
		}, "ended"},
		"nothing-to-steer-by": {func(t *testing.T, _ *helper.Charter, _ *helper.Options) context.Context {
			t.Setenv(diaryVariable, "/nowhere/diary")
			return t.Context()
		}, "/nowhere/diary"},
		"cancelled": {func(t *testing.T, _ *helper.Charter, _ *helper.Options) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			c, o := charter(), helper.Options{}
			ctx := tt.how(t, &c, &o)
			err := b.Gateway.Do(func() error {
				h, err := helper.Start(ctx, c, o)
				if err == nil {
					return errors.Join(errors.New("it started"), h.Close())
				}
				if !strings.Contains(err.Error(), tt.want) {
					return fmt.Errorf("%w, want %q", err, tt.want)
				}
				return nil
			})
			if err != nil && name != "cancelled" { // it may be ready before that is noticed
				t.Error(err)
			}
		})
	}
}

// TestUser: both processes have another user's id, and the rights that they need.
// In a user namespace that has no other user they stay what they are.
func TestUser(t *testing.T) {
	ids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	alone := bytes.HasSuffix(bytes.TrimSpace(ids), []byte(" 1"))
	var log testnet.Log
	caps := []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
	b := bedWithoutHelper(t)
	c := charter()
	c.Steering.Interfaces = nil // the diary is root's
	var h *helper.Client
	err = b.Gateway.Do(func() (err error) {
		h, err = helper.Start(t.Context(), c, helper.Options{
			UID: 65534, GID: 65534, Capabilities: caps,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var want uint64
	for _, c := range caps {
		want |= 1 << c
	}
	if said := strings.Contains(log.String(), "runs as the user who started it"); said != alone {
		t.Errorf("log: %s", &log)
	}
	watch := child(t, os.Getpid(), "watch")
	for _, pid := range []int{watch, child(t, watch, "serve")} {
		expect := map[string]string{
			"Uid:":    "65534",
			"Gid:":    "65534",
			"CapEff:": fmt.Sprintf("%016x", want),
			"CapPrm:": fmt.Sprintf("%016x", want),
		}
		if alone {
			expect = map[string]string{"Uid:": "0"}
		}
		for key, want := range expect {
			if got := status(t, pid, key); got != want {
				t.Errorf("%s of process %d is %s, want %s; log: %s", key, pid, got, want, &log)
			}
		}
	}
}

// child finds a process by its parent and what it was started as.
func child(t *testing.T, parent int, as string) int {
	t.Helper()
	procs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		line, _ := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		if err == nil && bytes.HasSuffix(line, []byte("helper\x00"+as+"\x00")) && status(t, pid, "PPid:") == strconv.Itoa(parent) {
			return pid
		}
	}
	t.Fatalf("process %d has no child %q", parent, as)
	return 0
}

// status is a value of a process's status.
func status(t *testing.T, pid int, key string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strings.Fields(value)[0]
		}
	}
	return ""
}
