package helper

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform/lab"
	"transom/platform/nft"
)

// squat has another user, if there is one, hold the abstract socket until t ends.
func squat(t *testing.T, h *lab.Host, uid int, listening bool) (other bool) {
	t.Helper()
	fd := -1
	err := h.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrUnix{Name: lockName})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if !listening {
		return true
	}
	// Whose it is, is who listens: a thread that ends with its rights.
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		_, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid))
		other = e == 0 && uid != 0 // else this is a namespace of one user
		err = unix.Listen(fd, 1)
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	return other
}

// lockOn is lock on a host, at once.
func lockOn(t *testing.T, h *lab.Host, claim func() (*nft.Conn, bool, error)) (held *Hold, log string, err error) {
	t.Helper()
	var said testnet.Log
	err = h.Do(func() (err error) {
		held, err = lock(t.Context(), 0, slog.New(slog.NewTextHandler(&said, nil)), claim)
		return err
	})
	if err == nil {
		t.Cleanup(func() { held.Close() })
	}
	return held, said.String(), err
}

// without is a kernel that has no tables with an owner.
func without() (*nft.Conn, bool, error) { return nil, false, nil }

// isRunning fails unless err says that this process holds the lock.
func isRunning(t *testing.T, err error) {
	t.Helper()
	var running *RunningError
	if !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("beside this one: %v", err)
	}
}

func TestLock(t *testing.T) {
	for name, kernels := range map[string][2]func() (*nft.Conn, bool, error){
		"usual":       {claim, claim},
		"old-kernel":  {without, without},
		"loaded-late": {without, claim},
		"unloaded":    {claim, without},
	} {
		t.Run(name, func(t *testing.T) {
			h := labtest.Gateway(t).Gateway
			held, log, err := lockOn(t, h, kernels[0])
			if err != nil || log != "" {
				t.Fatal(err, log)
			}
			_, _, err = lockOn(t, h, kernels[1])
			isRunning(t, err)
			if err := held.Close(); err != nil {
				t.Error(err)
			}
			if _, _, err = lockOn(t, h, kernels[1]); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// TestLockGiven: it is held until nobody has it any more.
func TestLockGiven(t *testing.T) {
	h := labtest.Gateway(t).Gateway
	held, _, err := lockOn(t, h, claim)
	if err != nil {
		t.Fatal(err)
	}
	files, err := held.files()
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
	_, _, err = lockOn(t, h, claim)
	isRunning(t, err)
	for _, f := range files {
		f.Close()
	}
	if _, _, err = lockOn(t, h, claim); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// TestLockSquatted: a stranger who has the abstract socket keeps nobody out, and lets
// no two in.
func TestLockSquatted(t *testing.T) {
	for name, listening := range map[string]bool{"listening": true, "bound": false} {
		t.Run(name, func(t *testing.T) {
			h := labtest.Gateway(t).Gateway
			if !squat(t, h, 1000, listening) {
				_, _, err := lockOn(t, h, claim)
				isRunning(t, err)
				return
			}
			_, log, err := lockOn(t, h, claim)
			if err != nil || !strings.Contains(log, "is no transom") || listening && !strings.Contains(log, "uid=1000") {
				t.Fatal(err, log)
			}
			_, _, err = lockOn(t, h, claim)
			isRunning(t, err)
			_, _, err = lockOn(t, h, without)
			isRunning(t, err)
		})
	}
}

// TestLockSquattedOldKernel: where there is no better lock, what is in the way is named.
func TestLockSquattedOldKernel(t *testing.T) {
	for name, listening := range map[string]bool{"listening": true, "bound": false} {
		t.Run(name, func(t *testing.T) {
			h := labtest.Gateway(t).Gateway
			other := squat(t, h, 1000, listening)
			_, _, err := lockOn(t, h, without)
			switch {
			case err == nil:
				t.Error("it goes on without a lock")
			case other && listening && !strings.Contains(err.Error(), "of user 1000"), !listening && !strings.Contains(err.Error(), "ss -xlp"):
				t.Errorf("refused by %v", err)
			}
		})
	}
}

// TestLockByRoot: root, who has no need to squat, is believed.
func TestLockByRoot(t *testing.T) {
	h := labtest.Gateway(t).Gateway
	squat(t, h, 0, true)
	_, _, err := lockOn(t, h, claim)
	isRunning(t, err)
}

// TestLockUnprivileged: who may not steer learns what is missing, and that nobody
// else is there is not claimed.
func TestLockUnprivileged(t *testing.T) {
	denied := func() (*nft.Conn, bool, error) { return nil, false, unix.EPERM }
	_, _, err := lockOn(t, labtest.Gateway(t).Gateway, denied)
	var running *RunningError
	if !errors.Is(err, syscall.EPERM) || errors.As(err, &running) {
		t.Errorf("refused by %v", err)
	}
}

func TestLockCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := labtest.Gateway(t).Gateway
	if _, _, err := lockOn(t, h, claim); err != nil {
		t.Fatal(err)
	}
	cancel()
	err := h.Do(func() error {
		_, err := Lock(ctx, LockWithin, slog.New(slog.DiscardHandler))
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("refused by %v", err)
	}
}
