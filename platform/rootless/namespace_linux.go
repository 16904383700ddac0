package rootless

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// A Namespace is where one program is captured. Methods are for any goroutine,
// but for Start and Wait, which one calls, once and in this order.
type Namespace struct {
	line     *line
	guard    *exec.Cmd // which has the keeper
	cgroup   *Cgroup   // nil: there is none
	log      *slog.Logger
	tcp      *net.TCPListener
	udp      *platform.PacketListener
	said     chan *message // what is said of the program; closed when nobody will say more
	hears    sync.WaitGroup
	signals  chan os.Signal
	closeOne func() error

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan socketOr
	lost    bool
}

// socketOr is a socket that was asked for, or why there is none.
type socketOr struct {
	c   *net.UDPConn
	err error
}

// New starts guard and keeper and makes the namespaces. It is called before rights are
// given up, which the keeper would not have either; what captures belongs to the
// caller. Close ends all of it. ctx is for the start alone.
func New(ctx context.Context, o Options) (*Namespace, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Program == "" {
		o.Program, o.Args = "/proc/self/exe", []string{"helper", "guard"}
	}
	near, far, err := newLine()
	if err != nil {
		return nil, err
	}
	n := &Namespace{line: near, log: o.Log, said: make(chan *message, 1), waiting: map[uint64]chan socketOr{}}
	n.closeOne = sync.OnceValue(n.end)
	err = n.spawn(&o, far)
	far.Close()
	if err != nil {
		near.c.Close()
		return nil, err
	}
	b := &brief{Network: o.Network, As: Person{UID: os.Getuid(), GID: os.Getgid()}}
	if o.ByRoot != nil {
		n.cgroup = o.ByRoot.Cgroup
		b.As, b.Cgroup = o.ByRoot.As, n.cgroup.dir
	}
	if err := n.prepare(ctx, &o, b); err != nil {
		near.c.Close()
		_ = n.guard.Wait() // what it had to say it has said
		return nil, errors.Join(err, n.swept())
	}
	n.hears.Go(n.hear)
	return n, nil
}

// spawn starts the guard. Its end of the line keeps its number, since what other
// descriptors the caller has are the program's.
func (n *Namespace) spawn(o *Options, far *os.File) error {
	args := append(slices.Clone(o.Args), strconv.Itoa(int(far.Fd())))
	as := &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if o.ByRoot != nil {
		args = append(args, o.ByRoot.Cgroup.dir)
		as = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	}
	n.guard = exec.Command(o.Program, args...)
	n.guard.Args[0] = "transom"
	n.guard.Stdin, n.guard.Stdout, n.guard.Stderr = os.Stdin, os.Stdout, os.Stderr
	n.guard.Env, n.guard.SysProcAttr = []string{}, as
	if _, err := unix.FcntlInt(far.Fd(), unix.F_SETFD, 0); err != nil {
		return err
	}
	return n.guard.Start()
}

// prepare has the keeper lay out the network, and takes its sockets.
func (n *Namespace) prepare(ctx context.Context, o *Options, b *brief) error {
	stop := context.AfterFunc(ctx, func() { n.line.c.Close() })
	defer stop()
	var with []int
	if o.Beside != nil {
		with = []int{int(o.Beside.Fd())}
	}
	if err := n.line.sendValue(&message{Kind: askNetwork}, b, with...); err != nil {
		return n.orContext(ctx, err)
	}
	m, files, err := n.line.receive()
	if err != nil {
		return n.orContext(ctx, err)
	}
	defer closeFiles(files)
	if err := m.err(); err != nil {
		return err
	}
	if m.Kind == sayReady && len(files) == 0 && o.ByRoot != nil {
		return nil
	}
	if m.Kind != sayReady || len(files) != 2 {
		return fmt.Errorf("the keeper says %q, with %d sockets", m.Kind, len(files))
	}
	l, err := net.FileListener(files[0])
	if err != nil {
		return err
	}
	n.tcp = l.(*net.TCPListener)
	c, err := net.FilePacketConn(files[1])
	if err != nil {
		return err
	}
	n.udp, err = platform.NewPacketListener(c.(*net.UDPConn))
	if err != nil {
		c.Close()
		return err
	}
	return nil
}

func (n *Namespace) orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// err is what a message says has failed.
func (m *message) err() error {
	if m.Error == "" {
		return nil
	}
	return &keeperError{m.Error, syscall.Errno(m.Errno)}
}

// A keeperError is an error of the keeper's, with the errno in its chain.
type keeperError struct {
	text  string
	errno syscall.Errno
}

func (e *keeperError) Error() string { return e.text }
func (e *keeperError) Unwrap() error { return e.errno }

// hear hears the keeper until its end.
func (n *Namespace) hear() {
	defer close(n.said)
	defer n.lose()
	for {
		m, files, err := n.line.receive()
		if err != nil {
			return
		}
		if m.Kind == saySocket {
			n.deliver(m, files)
		} else {
			n.said <- m
		}
		closeFiles(files)
	}
}

// deliver gives a socket to who has asked for it.
func (n *Namespace) deliver(m *message, files []*os.File) {
	n.mu.Lock()
	to := n.waiting[m.ID]
	delete(n.waiting, m.ID)
	n.mu.Unlock()
	if to == nil {
		return // who asked has left
	}
	if err := m.err(); err != nil {
		to <- socketOr{err: err}
		return
	}
	if len(files) != 1 {
		to <- socketOr{err: errors.New("the keeper has sent no socket")}
		return
	}
	c, err := net.FilePacketConn(files[0])
	if err != nil {
		to <- socketOr{err: err}
		return
	}
	to <- socketOr{c: c.(*net.UDPConn)}
}

// lose tells everybody who waits that the keeper is gone.
func (n *Namespace) lose() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = true
	for id, to := range n.waiting {
		to <- socketOr{err: ErrLost}
		delete(n.waiting, id)
	}
}

// Answer implements platform.Answerer.
func (n *Namespace) Answer(ctx context.Context, client, dst netip.AddrPort) (*net.UDPConn, error) {
	to := make(chan socketOr, 1)
	n.mu.Lock()
	if n.lost {
		n.mu.Unlock()
		return nil, ErrLost
	}
	n.next++
	id := n.next
	n.waiting[id] = to
	n.mu.Unlock()
	if err := n.line.send(&message{Kind: askAnswer, ID: id, Client: client, Dst: dst}); err != nil {
		n.forget(id)
		return nil, err
	}
	select {
	case s := <-to:
		return s.c, s.err
	case <-ctx.Done():
		if !n.forget(id) { // it is on its way
			if s := <-to; s.c != nil {
				s.c.Close()
			}
		}
		return nil, context.Cause(ctx)
	}
}

// Refuse implements platform.Refuser.
func (n *Namespace) Refuse(client, dst netip.AddrPort) error {
	return n.line.send(&message{Kind: askRefuse, Client: client, Dst: dst})
}

// forget reports whether nobody has answered yet.
func (n *Namespace) forget(id uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, waits := n.waiting[id]
	delete(n.waiting, id)
	return waits
}

// UDP returns the socket that datagrams come to; who takes it closes it.
func (n *Namespace) UDP() *platform.PacketListener { return n.udp }

// Host returns base, whose connections go out as they do from outside, with the
// listener of the namespace in place of its own. The caller closes base.
func (n *Namespace) Host(base platform.Host) platform.Host { return &host{Host: base, n: n} }

// A host takes connections inside and makes them outside.
type host struct {
	platform.Host
	n *Namespace
}

// Listen implements platform.Sockets: there is one listener, wherever it is
// wanted.
func (h *host) Listen(context.Context, platform.Socket) (*platform.Listener, error) {
	return platform.Inherited(h.n.tcp), nil
}

// OriginalDst implements platform.Destinations. All that comes was captured, also
// what was meant for an address that this host has outside.
func (h *host) OriginalDst(_ context.Context, c net.Conn) (netip.AddrPort, string, error) {
	a, ok := c.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, "", fmt.Errorf("original destination of a connection that is closed: %w", net.ErrClosed)
	}
	dst := a.AddrPort()
	return netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port()), "tproxy", nil
}

// Close ends the program, if it runs, and what it has left, and the keeper, and
// waits for them.
func (n *Namespace) Close() error { return n.closeOne() }

func (n *Namespace) end() error {
	err := n.line.c.Close()
	for range n.said { // until hear ends
		continue
	}
	n.hears.Wait()
	_ = n.guard.Wait() // how it ended was said
	return errors.Join(err, n.swept())
}

// swept makes sure that the cgroup is removed, which guard and keeper see to.
func (n *Namespace) swept() error {
	if n.cgroup == nil {
		return nil
	}
	if _, err := os.Stat(n.cgroup.dir); err == nil {
		return fmt.Errorf("the program's cgroup %s could not be removed", n.cgroup.dir)
	}
	return nil
}
