package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// A Lab is a set of hosts. Its methods may be called from any goroutine.
type Lab struct {
	base *os.File // the namespace that threads come from and go back to

	mu    sync.Mutex
	hosts []*Host
}

// New returns an empty lab. The error says what forbids namespaces, and what to
// do; see Reexec.
func New() (*Lab, error) {
	base, err := openNetns()
	if err != nil {
		return nil, fmt.Errorf("make a private network: %w", err)
	}
	return &Lab{base: base}, nil
}

// Close kills and waits for every program that was started in the lab, and for
// what those left running, and lets go of the namespaces; the kernel takes the
// interfaces and rules apart with them. Sockets made there and still open keep
// their namespace alive.
func (l *Lab) Close() error {
	l.mu.Lock()
	hosts := l.hosts
	l.hosts = nil
	l.mu.Unlock()
	children := make([][]*Cmd, len(hosts))
	for i, h := range hosts {
		children[i] = h.killChildren()
	}
	errs := []error{killStragglers(hosts)} // before the waits: they may hold the children's pipes
	for i, h := range hosts {
		for _, c := range children[i] {
			_ = c.Wait() // how it ended is for who started it
		}
		errs = append(errs, h.close())
	}
	return errors.Join(append(errs, l.base.Close())...)
}

// A Host is one network namespace. One thread lives in it until the lab is
// closed: programs are started from it, since a child that is to die with its
// parent (PR_SET_PDEATHSIG) dies with the parent's thread.
type Host struct {
	lab  *Lab
	name string
	ns   *os.File
	ipv6 bool

	spawn chan func() // run on the host's thread; closed by close
	done  sync.WaitGroup

	mu       sync.Mutex
	children map[*Cmd]struct{}
}

// Host adds a host with a loopback interface that is up.
func (l *Lab) Host(name string) (*Host, error) {
	h := &Host{lab: l, name: name, spawn: make(chan func()), children: make(map[*Cmd]struct{})}
	made := make(chan error)
	h.done.Go(func() { offMain(func() { h.live(made) }) })
	if err := <-made; err != nil {
		h.done.Wait()
		return nil, fmt.Errorf("lab: make host %s: %w", name, platform.ExplainNamespaces(err, "run as root"))
	}
	if err := h.Do(h.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: prepare host %s: %w", name, err), h.close())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hosts = append(l.hosts, h)
	return h, nil
}

// live is the host's thread. The thread ends with it, as it is never unlocked.
func (h *Host) live(made chan<- error) {
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		h.ns, err = openNetns()
	}
	made <- err
	if err != nil {
		return
	}
	for f := range h.spawn {
		f()
	}
}

func (h *Host) close() error {
	close(h.spawn)
	h.done.Wait()
	return h.ns.Close()
}

// Name returns the name the host was made with.
func (h *Host) Name() string { return h.name }

// IPv6 reports whether the kernel has IPv6. Without it IPv6 addresses given to
// the lab are left out.
func (h *Host) IPv6() bool { return h.ipv6 }

// Do runs f on a thread that is in the host's namespace: sockets that f makes
// belong there. f must make them itself, not in another goroutine. A panic and
// a Goexit (t.FailNow) of f are the caller's.
func (h *Host) Do(f func() error) (err error) {
	var crash any
	finished := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		offMain(func() {
			defer func() {
				if !finished {
					crash = recover()
				}
			}()
			err = h.visit(f)
			finished = true
		})
	}()
	<-done
	switch {
	case finished:
		return err
	case crash != nil:
		panic(crash)
	}
	runtime.Goexit()
	return nil
}

// visit moves the calling goroutine's thread into the namespace and back. If it
// can't get back it stays locked, and the thread ends with the goroutine.
func (h *Host) visit(f func() error) error {
	runtime.LockOSThread()
	if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("lab: enter host %s: %w", h.name, err)
	}
	defer func() {
		if unix.Setns(int(h.lab.base.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// offMain runs f on a goroutine whose thread is not the process's main one,
// which must keep its namespace: /proc/self shows that thread's.
func offMain(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		defer runtime.UnlockOSThread()
		f()
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f() // another thread: this one stays locked meanwhile
	}()
	<-done
	runtime.UnlockOSThread()
}

// openNetns opens the calling thread's network namespace.
func openNetns() (*os.File, error) {
	return os.Open("/proc/thread-self/ns/net")
}

// Listen opens a TCP listener on the host.
func (h *Host) Listen(ctx context.Context, a netip.AddrPort) (l net.Listener, err error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	err = h.Do(func() error {
		l, err = lc.Listen(ctx, "tcp", a.String())
		return err
	})
	return l, err
}

// Dial opens a TCP connection from the host.
func (h *Host) Dial(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	return h.DialWith(ctx, &net.Dialer{}, a)
}

// DialWith opens a TCP connection from the host with d's options.
func (h *Host) DialWith(ctx context.Context, d *net.Dialer, a netip.AddrPort) (c net.Conn, err error) {
	err = h.Do(func() error {
		c, err = d.DialContext(ctx, "tcp", a.String())
		return err
	})
	return c, err
}

// Platform returns the host as platform.Here sees it from inside, for use by
// this process: its sockets are made in the namespace whoever calls. The caller
// closes it.
func (h *Host) Platform(log *slog.Logger) (p platform.Host, err error) {
	err = h.Do(func() error {
		p, err = platform.Here(log)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &inside{p, h}, nil
}

// inside makes a platform.Host's sockets in a namespace.
type inside struct {
	platform.Host
	h *Host
}

func (i *inside) Listen(ctx context.Context, s platform.Socket) (l *platform.Listener, err error) {
	err = i.h.Do(func() error {
		l, err = i.Host.Listen(ctx, s)
		return err
	})
	return l, err
}

func (i *inside) Dial(ctx context.Context, s platform.Socket, dst netip.AddrPort) (c net.Conn, err error) {
	err = i.h.Do(func() error {
		c, err = i.Host.Dial(ctx, s, dst)
		return err
	})
	return c, err
}

func (i *inside) ListenUDP(ctx context.Context, s platform.Socket) (l *platform.PacketListener, err error) {
	err = i.h.Do(func() error {
		l, err = i.Host.ListenUDP(ctx, s)
		return err
	})
	return l, err
}

func (i *inside) DialUDP(ctx context.Context, s platform.Socket, dst netip.AddrPort) (c net.Conn, err error) {
	err = i.h.Do(func() error {
		c, err = i.Host.DialUDP(ctx, s, dst)
		return err
	})
	return c, err
}

func (i *inside) Answerer(mark uint32) platform.Answerer {
	return &answerer{i.Host.Answerer(mark), i.h}
}

// answerer makes an Answerer's sockets in a namespace.
type answerer struct {
	platform.Answerer
	h *Host
}

func (a *answerer) Answer(ctx context.Context, client, dst netip.AddrPort) (c *net.UDPConn, err error) {
	err = a.h.Do(func() error {
		c, err = a.Answerer.Answer(ctx, client, dst)
		return err
	})
	return c, err
}

// Sysctl sets a network setting of the host, as in
// Sysctl("net.ipv4.ip_forward", "1").
func (h *Host) Sysctl(key, value string) error {
	return h.Do(func() error { return sysctl(key, value) })
}

// sysctl writes a setting of the calling thread's namespace.
func sysctl(key, value string) error {
	path := "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
	if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) == value {
		return nil // it may be read-only, and right
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		if errors.Is(err, unix.EROFS) {
			return fmt.Errorf("set %s: %w: /proc/sys is read-only, as in a container; run outside of it, or with --privileged", key, err)
		}
		return fmt.Errorf("set %s: %w", key, err)
	}
	return nil
}
