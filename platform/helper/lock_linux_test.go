package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
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
func squat(t *testing.T, h *lab.Host, uid int, kind int, listening bool) (other bool) {
	t.Helper()
	fd := -1
	become := func(uid int) error {
		const same = ^uintptr(0)
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); e != 0 {
			return e
		}
		return nil
	}
	if err := h.Do(func() (err error) {
		other = become(uid) == nil && uid != 0 // else this is a namespace of one user
		defer func() { err = errors.Join(err, become(0)) }()
		if fd, err = unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: lockName}); err == nil && listening {
			err = unix.Listen(fd, 1)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return other
}

// crowd fills the queue of who listens at the abstract socket, so that it answers
// nobody, until t ends.
func crowd(t *testing.T, h *lab.Host) {
	t.Helper()
	if err := h.Do(func() error {
		for {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
			if err != nil {
				return err
			}
			t.Cleanup(func() { unix.Close(fd) })
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: lockName})
			if errors.Is(err, unix.EAGAIN) {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
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
	me := fmt.Sprintf("process %d of user 1000", os.Getpid())
	for name, tt := range map[string]struct {
		listening, crowded bool
		who                string
	}{
		"listening": {true, false, me},
		"crowded":   {true, true, "a process of user 1000"},
		"bound":     {false, false, "a process of user 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			h := labtest.Gateway(t).Gateway
			other := squat(t, h, 1000, unix.SOCK_STREAM, tt.listening)
			if tt.crowded {
				crowd(t, h)
			}
			if !other && tt.listening {
				_, _, err := lockOn(t, h, claim)
				var running *RunningError
				if !errors.As(err, &running) {
					t.Error(err)
				}
				return
			}
			_, _, err := lockOn(t, h, without)
			if err == nil || other && !strings.Contains(err.Error(), tt.who+" holds the abstract socket") {
				t.Errorf("on an old kernel: %v", err)
			}
			_, log, err := lockOn(t, h, claim)
			if err != nil || !strings.Contains(log, "is no transom") || other && !strings.Contains(log, tt.who+`"`) {
				t.Fatal(err, log)
			}
			_, _, err = lockOn(t, h, claim)
			isRunning(t, err)
			_, _, err = lockOn(t, h, without)
			isRunning(t, err)
		})
	}
}

// TestLockBesideDatagrams: a socket of another kind may have the name, too.
func TestLockBesideDatagrams(t *testing.T) {
	h := labtest.Gateway(t).Gateway
	squat(t, h, 1000, unix.SOCK_DGRAM, false)
	if _, log, err := lockOn(t, h, without); err != nil || log != "" {
		t.Error(err, log)
	}
}

// TestLockCrowded: who fills the queue of a lock that is held does not have it
// taken for a stranger's.
func TestLockCrowded(t *testing.T) {
	h := labtest.Gateway(t).Gateway
	if _, _, err := lockOn(t, h, without); err != nil {
		t.Fatal(err)
	}
	crowd(t, h)
	_, _, err := lockOn(t, h, claim)
	var running *RunningError
	if !errors.As(err, &running) {
		t.Error(err)
	}
}

// TestLockOfTheDead: of a process that has ended it is said that it has.
func TestLockOfTheDead(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run", "^$")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	err := running(cmd.Process.Pid)
	if text := err.Error(); !err.Ended || strings.Contains(text, "kill") || !strings.Contains(text, "try again") {
		t.Error(text)
	}
	if err := running(os.Getpid()); err.Ended || !strings.Contains(err.Error(), "kill") {
		t.Error(err)
	}
}

// TestLockByRoot: root, who has no need to squat, is believed.
func TestLockByRoot(t *testing.T) {
	h := labtest.Gateway(t).Gateway
	squat(t, h, 0, unix.SOCK_STREAM, true)
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
