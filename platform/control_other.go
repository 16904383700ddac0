//go:build !linux

package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ListenControl opens the socket by which programs of root, and of the user that this process
// starts as, look at what it has recorded. It is a file in a directory of that user's
// own; what a killed process leaves, Controls removes.
func ListenControl(uids ...int) (net.Listener, error) {
	owner := os.Geteuid()
	if len(uids) > 0 {
		owner = uids[0]
	}
	dir := controlDir(owner)
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		err = os.Lchown(dir, owner, -1)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := own(dir, owner); err != nil {
		return nil, err // a stranger's, who was here first
	}
	name := filepath.Join(dir, controlName(os.Getpid()))
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	if err := os.Lchown(name, owner, -1); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// controlDir is in /tmp, since root has another TMPDIR than who called sudo.
func controlDir(uid int) string {
	return filepath.Join("/tmp", "transom-"+strconv.Itoa(uid))
}

// own makes sure that a directory is uid's, and nobody else can write there.
func own(dir string, uid int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != uid || info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("%s: %w", dir, ErrNotOurs)
	}
	return nil
}

// Controls lists the processes whose control socket this user can reach.
func Controls() ([]int, error) {
	dir := controlDir(os.Geteuid())
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		_, number, _ := strings.Cut(e.Name(), controlName(0)[:len(controlName(0))-1])
		pid, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	return pids, nil
}

// DialControl connects to the control socket of a process. It fails with ErrNotOurs if
// others could have put it there.
func DialControl(ctx context.Context, pid int) (net.Conn, error) {
	dir := controlDir(os.Geteuid())
	if err := own(dir, os.Geteuid()); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", filepath.Join(dir, controlName(pid)))
}
