package owner

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/platform"
)

// every lets everything be asked.
func every() Charter {
	all := []platform.PortRange{{First: 1, Last: 65535}}
	return Charter{TCP: all, UDP: all}
}

func openFinder(t testing.TB, c Charter) *finder {
	t.Helper()
	fd, err := openSockets()
	if err != nil {
		t.Fatal(err)
	}
	f := newFinder(c, fd)
	t.Cleanup(f.close)
	return f
}

// one is the answer to one question.
func (f *finder) one(q question) (a answer) {
	f.find([]question{q}, func(got *answer) { a = *got })
	return a
}

// listen accepts connections, and datagrams, and says nothing.
func listen(t testing.TB, addr string) (tcp, udp string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	testnet.Need(t, err == nil || !strings.Contains(addr, ":"), "IPv6")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return l.Addr().String(), u.LocalAddr().String()
}

func questionOf(network, client, dst string) question {
	return question{network == "udp", netip.MustParseAddrPort(client), netip.MustParseAddrPort(dst)}
}

// TestFind finds sockets of this process and of others, by each family and network.
func TestFind(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		tcp, udp := listen(t, at)
		for network, dst := range map[string]string{"tcp": tcp, "udp": udp} {
			t.Run(network+"-"+at, func(t *testing.T) {
				f := openFinder(t, every())
				c, err := net.Dial(network, dst)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				exe, err := os.Executable()
				if err != nil {
					t.Fatal(err)
				}
				for range 2 { // by different ways
					a := f.one(questionOf(network, c.LocalAddr().String(), dst))
					p := a.process
					if a.known != known || p.PID != os.Getpid() || p.UID != os.Getuid() || p.Path != exe || p.Name == "" {
						t.Errorf("this process: %+v", a)
					}
				}
				other := startClient(t, "other", network, dst, os.Getuid(), nil)
				a := f.one(questionOf(network, other.addr, dst))
				if p := a.process; a.known != known || p.PID != other.Process.Pid || p.Name != "other" {
					t.Errorf("another one: %+v", a)
				}
				if network == "tcp" {
					other.end()
					if a := f.one(questionOf(network, other.addr, dst)); a.known != 0 {
						t.Errorf("it has ended: %+v", a)
					}
				}
			})
		}
	}
}

// TestFindMapped finds IPv4 connections of IPv6 sockets, as Python and Java have them,
// and UDP sockets that are connected to nobody.
func TestFindMapped(t *testing.T) {
	tcp, udp := listen(t, "127.0.0.1:0")
	f := openFinder(t, every())
	for kind, dst := range map[int]string{unix.SOCK_STREAM: tcp, unix.SOCK_DGRAM: udp} {
		fd, err := unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
		testnet.Need(t, err == nil, "IPv6")
		defer unix.Close(fd)
		to := &unix.SockaddrInet6{Addr: netip.MustParseAddrPort(dst).Addr().As16(), Port: int(netip.MustParseAddrPort(dst).Port())}
		network := "tcp"
		if kind == unix.SOCK_STREAM {
			err = unix.Connect(fd, to)
		} else {
			network = "udp"
			err = unix.Sendto(fd, []byte("x"), 0, to)
		}
		if err != nil {
			t.Fatal(err)
		}
		own, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		client := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(own.(*unix.SockaddrInet6).Port))
		if a := f.one(question{network == "udp", client, netip.MustParseAddrPort(dst)}); a.process.PID != os.Getpid() {
			t.Errorf("%s: %+v", network, a)
		}
	}
}

// TestFindBoundToDevice finds a socket that is bound to a device, as curl's by
// --interface is.
func TestFindBoundToDevice(t *testing.T) {
	tcp, udp := listen(t, "127.0.0.1:0")
	f := openFinder(t, every())
	for network, dst := range map[string]string{"tcp": tcp, "udp": udp} {
		d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "lo") }); e != nil {
				return e
			}
			return err
		}}
		c, err := d.Dial(network, dst)
		testnet.Need(t, !errors.Is(err, unix.EPERM), "Linux 5.7, or the right to bind sockets to devices")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if a := f.one(questionOf(network, c.LocalAddr().String(), dst)); a.process.PID != os.Getpid() {
			t.Errorf("%s: %+v", network, a)
		}
	}
}

// TestFindNone asks for what nobody has, or may not be asked.
func TestFindNone(t *testing.T) {
	tcp, _ := listen(t, "127.0.0.1:0")
	f := openFinder(t, every())
	if a := f.one(questionOf("tcp", "127.0.0.1:1", tcp)); a.known != 0 {
		t.Errorf("nobody: %+v", a)
	}
	if a := f.one(questionOf("tcp", tcp, "127.0.0.1:1")); a.known != 0 {
		t.Errorf("a listener: %+v", a)
	}
	c, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := questionOf("tcp", c.LocalAddr().String(), tcp)
	f.charter.TCP = nil
	if a := f.one(q); a.known != 0 {
		t.Errorf("against the charter: %+v", a)
	}
	f.charter = every()
	f.budget.left = -time.Hour
	if a := f.one(q); a.known != known|behind || a.process.PID != 0 || a.process.UID != os.Getuid() {
		t.Errorf("without time: %+v", a)
	}
	person := 4711
	f.charter.Person = &person
	f.all = true
	if a := f.one(q); a.process.UID != person {
		t.Errorf("of a person: %+v", a)
	}
}

// TestFindBatch asks for many at once, of one process and of many.
func TestFindBatch(t *testing.T) {
	tcp, _ := listen(t, "127.0.0.1:0")
	f := openFinder(t, every())
	var qs []question
	var want []int
	for range batchMost / 2 {
		c, err := net.Dial("tcp", tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		qs, want = append(qs, questionOf("tcp", c.LocalAddr().String(), tcp)), append(want, os.Getpid())
	}
	for range 6 {
		c := startClient(t, "one", "tcp", tcp, os.Getuid(), nil)
		qs, want = append(qs, questionOf("tcp", c.addr, tcp)), append(want, c.Process.Pid)
	}
	got := make([]int, len(qs))
	f.find(qs, func(a *answer) { got[a.index] += a.process.PID })
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestFindGoesOn has never the time to look at all: it gets to the end by and by.
func TestFindGoesOn(t *testing.T) {
	tcp, _ := listen(t, "127.0.0.1:0")
	first := startClient(t, "first", "tcp", tcp, os.Getuid(), nil)
	for range 4 {
		startProgram(t, os.Getuid(), nil, "hold", "900")
	}
	f := openFinder(t, every())
	q := questionOf("tcp", first.addr, tcp)
	behindOnce := false
	for range 10_000 {
		f.budget.left = time.Millisecond
		a := f.one(q)
		if a.process.PID == first.Process.Pid {
			if !behindOnce {
				t.Log("there was time for it")
			}
			return
		}
		if a.known != known|behind {
			t.Fatalf("%+v", a)
		}
		behindOnce = true
	}
	t.Error("it was never found")
}

// TestFindOddName has a client call itself what would steer a terminal.
func TestFindOddName(t *testing.T) {
	tcp, _ := listen(t, "127.0.0.1:0")
	const odd = "a\n\x1b[2J)\xff 0 S 1"
	c := startClient(t, odd, "tcp", tcp, os.Getuid(), nil)
	a := openFinder(t, every()).one(questionOf("tcp", c.addr, tcp))
	if a.process.PID != c.Process.Pid || a.process.Name != odd[:min(len(odd), 15)] {
		t.Errorf("%+v", a)
	}
}

// TestFindOthers finds clients of two users, one of them in a cgroup, with the rights
// to look at all processes, and without.
func TestFindOthers(t *testing.T) {
	testnet.Need(t, os.Getuid() == 0 && canBe(65534), "root, and users besides")
	f := openFinder(t, every())
	testnet.Need(t, f.cgroups.mount != "", "cgroups of version 2")
	dir, err := os.MkdirTemp(f.cgroups.mount, "transom-test-")
	testnet.Need(t, err == nil, "cgroups that can be made")
	t.Cleanup(func() { os.Remove(dir) })
	into, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	tcp, _ := listen(t, "127.0.0.1:0")
	nobody := startClient(t, "nobody's", "tcp", tcp, 65534, into)
	root := startClient(t, "root's", "tcp", tcp, 0, nil)

	want := "/" + filepath.Base(dir)
	a := f.one(questionOf("tcp", nobody.addr, tcp))
	if p := a.process; p.PID != nobody.Process.Pid || p.UID != 65534 || p.User != "nobody" || p.Cgroup != want || p.Name != "nobody's" {
		t.Errorf("%+v, want pid %d in %s", a, nobody.Process.Pid, want)
	}
	a = f.one(questionOf("tcp", root.addr, tcp))
	if p := a.process; p.PID != root.Process.Pid || p.UID != 0 || p.User != "root" || p.Cgroup == want {
		t.Errorf("%+v", a)
	}
	f.all = false // as if it had no rights
	a = f.one(questionOf("tcp", nobody.addr, tcp))
	if p := a.process; p.PID != 0 || p.UID != 65534 || p.Cgroup != want {
		t.Errorf("without rights: %+v", a)
	}
}

// canBe reports whether there is another user for root to be.
func canBe(uid int) bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && len(strings.Fields(string(b))) == 3 && strings.Fields(string(b))[2] == "4294967295" && uid > 0
}

// FuzzReply reads what no kernel says.
func FuzzReply(f *testing.F) {
	fd, err := openSockets()
	if err != nil {
		f.Fatal(err)
	}
	defer unix.Close(fd)
	s := &sockets{fd: fd}
	none := questionOf("tcp", "127.0.0.1:1", "127.0.0.1:2")
	_, _ = s.lookUp(&none) // an error
	f.Add(slices.Clone(s.buf[:64]))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	q := questionOf("tcp", c.LocalAddr().String(), l.Addr().String())
	if _, err := s.lookUp(&q); err != nil {
		f.Fatal(err)
	}
	f.Add(slices.Clone(s.buf[:256]))
	f.Fuzz(func(t *testing.T, b []byte) {
		seq := uint32(0)
		if len(b) >= unix.SizeofNlMsghdr {
			seq = binary.NativeEndian.Uint32(b[8:]) // else most would be thrown away unread
		}
		if h, err := readReply(b, seq); err == nil && h.inode == 0 {
			t.Errorf("%x is a socket of nobody", b)
		}
	})
}

func TestMembersAreBounded(t *testing.T) {
	if got := pidsIn([]string{"1", "x", "-3", "0", "12", "99999999999999999999"}); !slices.Equal(got, []int{12, 1}) {
		t.Error(got)
	}
}
