package platform

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ListenControl opens the socket by which programs of root, of who runs this process, and
// of the users named, look at what it has recorded; others are hung up on. It
// is in this network namespace alone, and gone with the process (unix(7), abstract
// sockets).
func ListenControl(uids ...int) (net.Listener, error) {
	l, err := net.Listen("unix", "@"+controlName(os.Getpid()))
	if err != nil {
		return nil, err
	}
	return &controlListener{l, append(uids, 0, os.Geteuid())}, nil
}

// A controlListener accepts some users.
type controlListener struct {
	net.Listener
	uids []int
}

// Accept implements net.Listener.
func (l *controlListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(c); err == nil && slices.Contains(l.uids, uid) {
			return c, nil
		}
		c.Close()
	}
}

// peerUID is who was at the other end when it connected, or listened.
func peerUID(c net.Conn) (uid int, err error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = errors.Join(err, raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	}))
	return uid, err
}

// Controls lists the processes whose control socket is open here, the oldest number first.
func Controls() ([]int, error) {
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var pids []int
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		_, name, ok := strings.Cut(lines.Text(), "@"+controlName(0)[:len(controlName(0))-1])
		if !ok {
			continue
		}
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, lines.Err()
}

// DialControl connects to the control socket of a process. It fails with ErrNotOurs if
// that is neither root's nor this user's.
func DialControl(ctx context.Context, pid int) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", "@"+controlName(pid))
	if errors.Is(err, unix.ECONNREFUSED) {
		return nil, fmt.Errorf("process %d is no transom that runs, or it is in another network namespace", pid)
	}
	if err != nil {
		return nil, err
	}
	uid, err := peerUID(c)
	if err == nil && uid != 0 && uid != os.Geteuid() && os.Geteuid() != 0 {
		err = fmt.Errorf("the transom that runs as process %d: %w", pid, ErrNotOurs)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
