package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform/sandbox"
)

// look is what who looks at others tries, and what it may.
func look() any {
	dir := os.Getenv(dirVariable)
	name := filepath.Join(dir, "file")
	must(0, os.WriteFile(name, []byte("x"), 0o600))
	netlink := must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG))
	near, far, err := pair()
	must(0, err)
	parent := os.Getppid()
	must(0, sandbox.OnlyLook())
	return try(map[string]func() error{
		"may-look": func() error { _, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", parent)); return err },
		"may-read": func() error { _, err := os.ReadFile(name); return err },
		"may-link": func() error { _, err := os.Readlink("/proc/self/exe"); return err },
		"may-ask": func() error {
			return unix.Sendto(netlink, make([]byte, 16), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		},
		"may-talk":      func() error { return talkOver(near, far) },
		"may-wait":      func() error { <-time.After(time.Millisecond); return nil },
		"may-thread":    func() error { crowd()(); return nil },
		"write":         func() error { return os.WriteFile(name, nil, 0o600) },
		"append":        func() error { _, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0); return err },
		"make":          func() error { _, err := os.OpenFile(name+"2", os.O_CREATE, 0o600); return err },
		"truncate":      func() error { return os.Truncate(name, 0) },
		"remove":        func() error { return os.Remove(name) },
		"socket":        func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); return err },
		"connect":       func() error { return unix.Connect(netlink, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) },
		"send-a-file":   func() error { return unix.Sendmsg(netlink, []byte("x"), unix.UnixRights(0), nil, 0) },
		"execve":        func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"fork":          func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) },
		"ptrace":        func() error { return unix.PtraceAttach(parent) },
		"read-memory":   func() error { return raw(unix.SYS_PROCESS_VM_READV, uintptr(parent)) },
		"take-a-file":   func() error { return raw(unix.SYS_PIDFD_GETFD) },
		"signal-others": func() error { return unix.Kill(parent, 0) },
		"code":          mapCode,
		"unshare":       func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"bpf":           func() error { return raw(unix.SYS_BPF) },
	})
}

// pair is two ends that Go's poller has.
func pair() (near, far net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	conns := make([]net.Conn, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		if conns[i], err = net.FileConn(f); err != nil {
			return nil, nil, err
		}
		f.Close()
	}
	return conns[0], conns[1], nil
}

func talkOver(near, far net.Conn) error {
	if _, err := near.Write([]byte("x")); err != nil {
		return err
	}
	_, err := far.Read(make([]byte, 1))
	return err
}

// TestOnlyLook: who looks can do that, and nothing else.
func TestOnlyLook(t *testing.T) {
	cmd := child("look")
	cmd.Env = append(cmd.Env, dirVariable+"="+t.TempDir())
	got := run[outcomes](t, cmd)
	for name, err := range got {
		if strings.HasPrefix(name, "may-") {
			if err != "" {
				t.Errorf("%s: %s", name, err)
			}
		} else if !strings.HasSuffix(err, syscall.EPERM.Error()) {
			t.Errorf("%s: %q", name, err)
		}
	}
	if len(got) < 20 {
		t.Errorf("only %d things were tried", len(got))
	}
}
