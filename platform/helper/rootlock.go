package helper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Where pf steers the lock is a file that is locked, in a directory that is root's: by
// the proxy first, then by the watch and the helper, which inherit it. It goes with
// the last of them. What is in it is the proxy's number, for who is told to wait.
type rootLock struct{ f *os.File }

// lockRoot takes the lock at a path, or says who has it in a RunningError.
func lockRoot(ctx context.Context, path string, within time.Duration) (*rootLock, error) {
	f, err := openRootLock(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(rootLockEvery)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return &rootLock{f}, errors.Join(f.Truncate(0), writeNumber(f))
		case !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR):
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, errors.Join(context.Cause(ctx), f.Close())
			}
			return nil, errors.Join(heldBy(f), f.Close())
		}
	}
}

const rootLockEvery = 20 * time.Millisecond

func writeNumber(f *os.File) error {
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// openRootLock opens a file that nobody but us can have made.
func openRootLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make sure that no other transom steers this host: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || int(st.Uid) != os.Geteuid() || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.Join(fmt.Errorf("make sure that no other transom steers this host: %s is somebody else's, or no file: remove it", path), err, f.Close())
	}
	return f, nil
}

// heldBy is who is in the file.
func heldBy(f *os.File) error {
	var b [16]byte
	n, _ := f.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid <= 0 {
		return &RunningError{}
	}
	return &RunningError{PID: pid, Ended: errors.Is(unix.Kill(pid, 0), unix.ESRCH)}
}

// runningRoot is who has the lock, nil if nobody has, or if it can't be seen.
func runningRoot(path string) *RunningError {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return nil
	}
	var who *RunningError
	_ = errors.As(heldBy(f), &who)
	return who
}

// Close implements io.Closer.
func (l *rootLock) Close() error { return l.f.Close() }
