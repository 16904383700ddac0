package sandbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/sandbox"
)

// A bench is what a process has opened before it gives up its rights.
type bench struct {
	dir      string // may be written
	log      *os.File
	listener map[string]net.Listener // by network
	dns      net.PacketConn
	netlink  int
	pair     [2]int // of Unix sockets
	host     platform.Host
	child    *exec.Cmd // ends when its input does
	input    io.Closer
}

func open() *bench {
	b := &bench{dir: os.Getenv(dirVariable), listener: map[string]net.Listener{}}
	b.log = must(os.Create(filepath.Join(b.dir, "log")))
	for network, addr := range map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0", "tcp": "[::]:0"} {
		l, err := net.Listen(network, addr)
		if err == nil || network == "tcp4" {
			b.listener[network] = must(l, err)
		}
	}
	b.dns = must(net.ListenPacket("udp4", "127.0.0.1:0"))
	b.netlink = must(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE))
	must(0, unix.Bind(b.netlink, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))
	b.pair = must(unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0))
	b.host = must(platform.Here(nil))
	b.child = exec.Command("/bin/cat")
	b.input = must(b.child.StdinPipe())
	must(0, b.child.Start())
	return b
}

const dirVariable = "TRANSOM_TEST_SANDBOX_DIR"

// lock gives up what a proxy gives up.
func (b *bench) lock() sandbox.Report {
	u := must(sandbox.Lookup("nobody"))
	to, _ := sandbox.Within(u)
	return must(sandbox.Drop(sandbox.Options{User: &u, Read: sandbox.SystemFiles(to), Write: []string{b.dir}}))
}

// inDir gives a child a directory that is its own, whoever it becomes.
func inDir(t testing.TB, cmd *exec.Cmd) *exec.Cmd {
	t.Helper()
	dir := filepath.Join(passable(t), "own")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if to, _ := sandbox.Within(nobody(t)); to.UID != os.Getuid() {
		if err := os.Chown(dir, to.UID, to.GID); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Dir = dir
	cmd.Env = append(cmd.Env, dirVariable+"="+dir)
	return cmd
}

// inNetwork runs a child in a network that has nothing but loopback and one
// interface with a link-local address, and returns what came of it.
func inNetwork(t *testing.T, cmd *exec.Cmd) (got outcomes) {
	t.Helper()
	l := labtest.New(t)
	h, err := l.Host("h")
	if err != nil {
		t.Fatal(err)
	}
	other, err := l.Host("other")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Connect(lab.End{Host: h, Iface: "eth0", Addrs: prefixes(linkLocal)}, lab.End{Host: other, Iface: "eth0"}); err != nil {
		t.Fatal(err)
	}
	c := h.Command(t.Context(), cmd.Path)
	var log strings.Builder
	c.Env, c.Dir, c.Stderr = cmd.Env, cmd.Dir, &log
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, log.String())
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s%s", err, out, log.String())
	}
	return got
}

// linkLocal is an address that is reached by naming the interface.
const linkLocal = "fe80::7"

func prefixes(a string) []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(a), 64)}
}

// outcomes is how each thing went, "" for well.
type outcomes map[string]string

func try(all map[string]func() error) any {
	got := outcomes{}
	for name, f := range all {
		got[name] = ""
		if err := f(); err != nil {
			got[name] = err.Error()
		}
	}
	return got
}

// work does after giving up what a proxy does at work.
func work() any {
	dismiss := crowd()
	b := open()
	b.lock()
	dismiss()
	return try(map[string]func() error{
		"accept-and-connect":       b.connections,
		"resolve-a-name":           b.resolve,
		"read-system-files":        readSystem,
		"files":                    b.files,
		"index":                    b.index,
		"splice-and-tee":           b.splice,
		"relay":                    b.relay,
		"threads":                  func() error { crowd()(); return nil },
		"goroutines-are-preempted": preempt,
		"memory":                   memory,
		"signals":                  signals,
		"netlink":                  b.routes,
		"descriptors":              b.descriptors,
		"original-destination":     b.original,
		"profile":                  profile,
		"close-the-host":           b.host.Close,
		"questions":                questions,
		"wait-for-a-child":         b.wait,
		"zone":                     b.zone,
	})
}

func TestWorkAfterDrop(t *testing.T) {
	got := inNetwork(t, inDir(t, child("work")))
	for name, err := range got {
		if err != "" {
			t.Errorf("%s: %s", name, err)
		}
	}
	if len(got) < 10 {
		t.Errorf("only %d things were tried", len(got))
	}
}

func (b *bench) connections() error {
	for network, l := range b.listener {
		client, server, err := connect(network, l)
		if err != nil {
			return fmt.Errorf("%s: %w", network, err)
		}
		err = echo(client, server)
		client.Close()
		server.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", network, err)
		}
	}
	// Without a family in the name, and with the options that a proxy sets.
	for _, l := range b.listener {
		c, err := b.host.Dial(context.Background(), platform.Socket{}, netip.MustParseAddrPort(l.Addr().String()))
		if err != nil {
			return err
		}
		server, err := l.Accept()
		if err != nil {
			return err
		}
		t := c.(*net.TCPConn)
		err = errors.Join(t.SetLinger(0), t.SetNoDelay(false), t.SetReadBuffer(1<<16), server.Close(), t.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

func connect(network string, l net.Listener) (client, server *net.TCPConn, err error) {
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	s, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return c.(*net.TCPConn), s.(*net.TCPConn), nil
}

func echo(a, b net.Conn) error {
	if _, err := io.WriteString(a, "hello"); err != nil {
		return err
	}
	got := make([]byte, 5)
	b.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadFull(b, got); err != nil || string(got) != "hello" {
		return fmt.Errorf("%q, %w", got, err)
	}
	return nil
}

// resolve asks a server of its own; the system's may not be there.
func (b *bench) resolve() error {
	go answer(b.dns)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", b.dns.LocalAddr().String())
	}}
	ips, err := r.LookupNetIP(context.Background(), "ip4", "shop.example.")
	if err != nil || len(ips) != 1 || ips[0].String() != "192.0.2.7" {
		return fmt.Errorf("%v, %w", ips, err)
	}
	if _, err := r.LookupNetIP(context.Background(), "ip", "localhost"); err != nil {
		return err
	}
	_, err = net.LookupPort("tcp", "https")
	return err
}

func answer(c net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		q := m.Questions[0]
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}},
		}}
		if p, err := m.Pack(); err == nil {
			c.WriteTo(p, from)
		}
	}
}

// readSystem reads of the system's files those that are there.
func readSystem() error {
	for _, name := range []string{
		"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/services", "/etc/localtime",
		"/etc/ssl/certs/ca-certificates.crt", "/usr/share/zoneinfo/UTC", "/proc/sys/net/core/somaxconn", "/dev/null",
	} {
		if _, err := os.ReadFile(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (b *bench) files() error {
	if _, err := b.log.WriteString("a line\n"); err != nil {
		return err
	}
	sub := filepath.Join(b.dir, "sub", "dir")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(sub, "x")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString("text"); err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(2), f.Sync(), f.Chmod(0o600), unix.Flock(int(f.Fd()), unix.LOCK_EX)); err != nil {
		return err
	}
	// From one directory into another.
	if err := os.Rename(f.Name(), filepath.Join(b.dir, "kept")); err != nil {
		return err
	}
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if text, err := root.ReadFile("kept"); err != nil || string(text) != "te" {
		return fmt.Errorf("%q, %w", text, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(b.dir, &st); err != nil {
		return err
	}
	if list, err := os.ReadDir(b.dir); err != nil || len(list) < 2 {
		return fmt.Errorf("%v, %w", list, err)
	}
	return os.RemoveAll(filepath.Join(b.dir, "sub"))
}

// splice moves bytes as platform/splice does, through a pipe, and copies them.
func (b *bench) splice() error {
	client, server, err := connect("tcp4", b.listener["tcp4"])
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	var p, q [2]int
	if err := errors.Join(unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC), unix.Pipe2(q[:], unix.O_NONBLOCK|unix.O_CLOEXEC)); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(p[0]), unix.F_SETPIPE_SZ, 1<<18); err != nil {
		return err
	}
	if _, err := unix.Write(p[1], []byte("hello")); err != nil {
		return err
	}
	if n, err := unix.Tee(p[0], q[1], 5, 0); n != 5 || err != nil {
		return fmt.Errorf("tee: %d, %w", n, err)
	}
	rc, err := server.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = rc.Control(func(fd uintptr) { _, serr = unix.Splice(p[0], nil, int(fd), nil, 5, unix.SPLICE_F_NONBLOCK) })
	if err := errors.Join(err, serr); err != nil {
		return fmt.Errorf("splice: %w", err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "hello" {
		return fmt.Errorf("%q, %w", got, err)
	}
	return nil
}

// relay lets package net copy from one connection to another, and from a file.
func (b *bench) relay() error {
	in, inside, err := connect("tcp4", b.listener["tcp4"])
	if err != nil {
		return err
	}
	out, outside, err := connect("tcp4", b.listener["tcp4"])
	if err != nil {
		return err
	}
	text := bytes.Repeat([]byte("0123456789"), 100_000)
	sent := make(chan error, 2)
	go func() {
		_, err := in.Write(text)
		sent <- errors.Join(err, in.CloseWrite())
	}()
	go func() {
		_, err := io.Copy(out, inside)
		sent <- errors.Join(err, out.CloseWrite())
	}()
	got, err := io.ReadAll(outside)
	err = errors.Join(err, <-sent, <-sent)
	if err == nil && !bytes.Equal(got, text) {
		err = errors.New("other bytes came out")
	}
	for _, c := range []net.Conn{in, inside, out, outside} {
		c.Close()
	}
	return err
}

// preempt needs signals from one thread to another.
func preempt() error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	stop := make(chan bool)
	go func() {
		for i := 0; ; i++ { // no call in it that would let others run
			if i < 0 {
				break
			}
		}
	}()
	go close(stop)
	<-stop
	return nil
}

func memory() error {
	for range 3 {
		b := make([]byte, 64<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		runtime.KeepAlive(b)
		debug.FreeOSMemory()
	}
	m, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	return errors.Join(unix.Mprotect(m, unix.PROT_READ), unix.Madvise(m, unix.MADV_DONTNEED), unix.Munmap(m))
}

func signals() error {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	defer signal.Stop(c)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		return err
	}
	<-c
	return nil
}

// routes receives on the socket that is open.
func (b *bench) routes() error {
	ask := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofRtGenmsg+3)
	h := (*unix.NlMsghdr)(unsafe.Pointer(&ask[0]))
	*h = unix.NlMsghdr{Len: uint32(len(ask)), Type: unix.RTM_GETADDR, Flags: unix.NLM_F_REQUEST | unix.NLM_F_DUMP, Seq: 1}
	if err := unix.Sendto(b.netlink, ask, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(b.netlink, buf, 0)
	if err != nil || n < unix.NLMSG_HDRLEN {
		return fmt.Errorf("%d, %w", n, err)
	}
	return nil
}

// descriptors sends one over the pair and receives it.
func (b *bench) descriptors() error {
	if err := unix.Sendmsg(b.pair[0], []byte("x"), unix.UnixRights(int(b.log.Fd())), nil, 0); err != nil {
		return err
	}
	p, oob := make([]byte, 16), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(b.pair[1], p, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("%v, %w", messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	_, err = unix.Write(fds[0], []byte("by the other\n"))
	return errors.Join(err, unix.Close(fds[0]))
}

func (b *bench) original() error {
	client, server, err := connect("tcp4", b.listener["tcp4"])
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	if _, _, err := b.host.OriginalDst(context.Background(), server); !errors.Is(err, platform.ErrDirect) {
		return err
	}
	return nil
}

func (b *bench) wait() error { return errors.Join(b.input.Close(), b.child.Wait()) }

// zone reaches a link-local address by the name of the interface.
func (b *bench) zone() error {
	l := b.listener["tcp"]
	if b.listener["tcp6"] == nil {
		return nil // a kernel without IPv6
	}
	to := netip.AddrPortFrom(netip.MustParseAddr(linkLocal+"%eth0"), netip.MustParseAddrPort(l.Addr().String()).Port())
	c, err := b.host.Dial(context.Background(), platform.Socket{}, to)
	if err != nil {
		return err
	}
	s, err := l.Accept()
	if err != nil {
		return err
	}
	return errors.Join(s.Close(), c.Close())
}

func profile() error {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return err
	}
	pprof.StopCPUProfile()
	return nil
}

func questions() error {
	name := [16]byte{}
	if err := unix.Prctl(unix.PR_GET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0); err != nil {
		return err
	}
	if _, err := rand.Read(make([]byte, 32)); err != nil {
		return err
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	var u unix.Utsname
	_ = time.Now().Local().String()
	return unix.Uname(&u)
}

// denied tries what nobody should be able to.
func denied() any {
	b := open()
	unixSocket := filepath.Join(b.dir, "socket")
	l := must(net.Listen("unix", unixSocket))
	b.lock()
	fd := must(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
	got := try(map[string]func() error{
		"bind":             func() error { return unix.Bind(fd, &unix.SockaddrInet4{}) },
		"listen":           func() error { return unix.Listen(fd, 1) },
		"unix-socket":      func() error { _, err := net.Dial("unix", unixSocket); return err },
		"netlink-socket":   func() error { _, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0); return err },
		"packet-socket":    func() error { _, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); return err },
		"mark":             func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1) },
		"start-a-program":  func() error { return child("rights").Start() },
		"execve":           func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
		"fork":             func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) },
		"clone-namespaces": func() error { return raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)) },
		"unshare":          func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"ptrace":           func() error { return unix.PtraceAttach(os.Getppid()) },
		"signal-others":    func() error { return unix.Kill(os.Getppid(), 0) },
		"signal-group":     func() error { return unix.Kill(0, 0) },
		"signal-by-fcntl":  func() error { _, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, os.Getppid()); return err },
		"code":             func() error { return mapCode() },
		"mount":            func() error { return unix.Mount("x", "/", "tmpfs", 0, "") },
		"bpf":              func() error { return raw(unix.SYS_BPF) },
		"io-uring":         func() error { return raw(unix.SYS_IO_URING_SETUP) },
		"kexec":            func() error { return raw(unix.SYS_KEXEC_LOAD) },
		"memfd":            func() error { _, err := unix.MemfdCreate("x", 0); return err },
		"keyring":          func() error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true); return err },
		"type-at-terminal": func() error { return raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, 0) },
		"setuid":           func() error { return raw(unix.SYS_SETUID, 0) },
		"chroot":           func() error { return unix.Chroot(b.dir) },
		"sysctl":           func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) },
		"environment":      func() error { _, err := os.ReadFile("/proc/self/environ"); return err },
		"list-root":        func() error { _, err := os.ReadDir("/"); return err },
		"read-elsewhere":   func() error { _, err := os.ReadFile("/usr/bin/env"); return err },
		"write-elsewhere":  func() error { return os.WriteFile(filepath.Join(filepath.Dir(b.dir), "x"), nil, 0o666) },
		"write-to-etc":     func() error { return os.WriteFile("/etc/hosts.transom", nil, 0o666) },
		"leave-its-dir":    func() error { return os.Rename(b.log.Name(), filepath.Join(filepath.Dir(b.dir), "x")) },
		"device":           func() error { return unix.Mknod(filepath.Join(b.dir, "null"), unix.S_IFCHR, 0x103) },
	}).(outcomes)
	l.Close()
	must(0, b.wait())
	return got
}

// raw makes a call that could not do harm, but would fail otherwise.
func raw(call uintptr, args ...uintptr) error {
	var a [3]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall(call, a[0], a[1], a[2]); errno != 0 {
		return errno
	}
	return nil
}

func mapCode() error {
	_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	return err
}

func TestDeniedAfterDrop(t *testing.T) {
	got := inNetwork(t, inDir(t, child("denied")))
	for name, err := range got {
		if !strings.HasSuffix(err, syscall.EPERM.Error()) && !strings.HasSuffix(err, syscall.EACCES.Error()) {
			t.Errorf("%s: %q", name, err)
		}
	}
	if len(got) < 20 {
		t.Errorf("only %d things were tried", len(got))
	}
}
