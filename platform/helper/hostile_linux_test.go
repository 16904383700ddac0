package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/platform"
)

// still is a steerer that does nothing, and says how often.
type still struct{ applied []platform.Steering }

func (s *still) Apply(_ context.Context, want platform.Steering) error {
	s.applied = append(s.applied, want)
	return nil
}
func (s *still) Leave(context.Context) error                 { return nil }
func (s *still) Leftovers(context.Context) ([]string, error) { return nil, nil }
func (s *still) Cleanup(context.Context) ([]string, error)   { return nil, nil }
func (s *still) Abandon() error                              { return nil }

// narrow is a charter that leaves much to be refused.
func narrow() Charter {
	return Charter{
		Steering: platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}},
		Listen:   []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Sources:  []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("203.0.113.9/32")},
	}
}

// A foe is a proxy that sends what it likes to a server, which handles it when it
// is told to.
type foe struct {
	*server
	far     *pair
	steerer *still
	fd      int // the server's end
}

func newFoe(t testing.TB, c Charter) *foe {
	t.Helper()
	near, far, err := newPair()
	if err != nil {
		t.Fatal(err)
	}
	f := &foe{steerer: &still{}}
	if f.far, err = pairOf(near); err != nil {
		t.Fatal(err)
	}
	p, err := pairOf(far)
	if err != nil {
		t.Fatal(err)
	}
	open := func(*slog.Logger, string, Memory) (Steerer, error) { return f.steerer, nil }
	f.server, err = newServer(role{Charter: c, Epoch: 1}, ServeOptions{Rights: Rights{Open: open}}, &voice{pair: p, epoch: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = p.on(func(fd int) error { f.fd = fd; return nil })
	t.Cleanup(func() {
		if err := errors.Join(f.end(context.Background()), near.Close()); err != nil {
			t.Error(err)
		}
	})
	return f
}

// send sends one message and has it handled.
func (f *foe) send(t testing.TB, b []byte, fds ...int) {
	t.Helper()
	err := f.far.on(func(fd int) error { return unix.Sendmsg(fd, b, unix.UnixRights(fds...), nil, 0) })
	if err != nil {
		t.Fatal(err)
	}
	if !f.answer(t.Context(), f.fd) {
		t.Fatal("the server takes that for the end")
	}
}

// heard takes everything that the server has said: answers and log lines.
func (f *foe) heard(t testing.TB) (answers []report, log string) {
	t.Helper()
	for {
		var buf [reportMax + 1]byte
		var got received
		err := f.far.on(func(fd int) (err error) { got, err = receive(fd, buf[:]); return err })
		if errors.Is(err, unix.EAGAIN) {
			return answers, log
		}
		if err != nil {
			t.Fatal(err)
		}
		r, err := parseReport(buf[:got.n])
		if err != nil {
			t.Fatal(err)
		}
		got.closeAll()
		if r.kind != sayLog {
			answers = append(answers, r)
			continue
		}
		var text bytes.Buffer
		relog(slog.New(slog.NewTextHandler(&text, nil)), slog.Level(int64(r.id)), r.text)
		log += text.String()
	}
}

// wantRefused looks at what was answered: no, and a line of the log.
func (f *foe) wantRefused(t testing.TB) {
	t.Helper()
	answers, log := f.heard(t)
	for _, a := range answers {
		if a.kind != sayAnswer || !a.refused || syscall.Errno(a.errno) != unix.EPERM || len(a.text) == 0 {
			t.Errorf("answered %d, errno %d, %s", a.kind, a.errno, a.text)
		}
	}
	if strings.Count(log, "level=WARN") != 1 {
		t.Errorf("logged %q", log)
	}
}

// bytesOf is a request on the wire.
func bytesOf(r request) []byte {
	var b [requestLen]byte
	if r.epoch == 0 {
		r.epoch = 1
	}
	return r.put(&b)
}

// socket returns a socket that is closed when t ends.
func socket(t testing.TB, domain, kind, proto int) int {
	t.Helper()
	fd, err := unix.Socket(domain, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		testnet.Need(t, false, fmt.Sprintf("a socket of domain %d, type %d, protocol %d: %v", domain, kind, proto, err))
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

func fresh4(t testing.TB) int { return socket(t, unix.AF_INET, unix.SOCK_STREAM, 0) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unfit are descriptors that are not to be prepared.
func unfit() map[string]func(testing.TB) int {
	return map[string]func(testing.TB) int{
		"udp":       func(t testing.TB) int { return socket(t, unix.AF_INET, unix.SOCK_DGRAM, 0) },
		"unix":      func(t testing.TB) int { return socket(t, unix.AF_UNIX, unix.SOCK_STREAM, 0) },
		"netlink":   func(t testing.TB) int { return socket(t, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) },
		"mptcp":     func(t testing.TB) int { return socket(t, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP) },
		"bound":     func(t testing.TB) int { return bound(t, "127.0.0.1:0") },
		"listening": func(t testing.TB) int { fd := bound(t, "127.0.0.1:0"); must(t, unix.Listen(fd, 1)); return fd },
		"autobound": func(t testing.TB) int { fd := fresh4(t); must(t, unix.Listen(fd, 1)); return fd },
		"connected": connected,
		"pipe": func(t testing.TB) int {
			var fds [2]int
			must(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
			t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
			return fds[0]
		},
		"file": func(t testing.TB) int {
			f, err := os.Open("/proc/self/status")
			must(t, err)
			t.Cleanup(func() { f.Close() })
			return int(f.Fd())
		},
	}
}

func bound(t testing.TB, at string) int {
	fd := fresh4(t)
	must(t, unix.Bind(fd, sockaddr(false, netip.MustParseAddrPort(at))))
	return fd
}

func connected(t testing.TB) int {
	l := bound(t, "127.0.0.1:0")
	must(t, unix.Listen(l, 1))
	a, err := unix.Getsockname(l)
	must(t, err)
	fd := fresh4(t)
	must(t, unix.Connect(fd, a))
	return fd
}

func privileged(t testing.TB) {
	t.Helper()
	fd := fresh4(t)
	err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
	testnet.Need(t, err == nil, fmt.Sprint("transparent sockets: ", err))
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	if lo.Attrs().Flags&net.FlagUp == 0 { // a namespace that was made for these tests
		must(t, netlink.LinkSetUp(lo))
	}
}

// TestOutsideTheCharter sends each request with each field as it may not be.
func TestOutsideTheCharter(t *testing.T) {
	privileged(t)
	source := func(a string) request {
		return request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort(a)}
	}
	good := source("198.51.100.7:0")
	alter := func(at int, to byte) func(testing.TB) ([]byte, []int) {
		return func(t testing.TB) ([]byte, []int) {
			b := bytesOf(good)
			b[at] = to
			return b, []int{fresh4(t)}
		}
	}
	with := func(r request, fds ...func(testing.TB) int) func(testing.TB) ([]byte, []int) {
		return func(t testing.TB) ([]byte, []int) {
			var list []int
			for _, f := range fds {
				list = append(list, f(t))
			}
			return bytesOf(r), list
		}
	}
	cases := map[string]func(testing.TB) ([]byte, []int){
		"source-elsewhere":      with(source("198.51.101.7:0"), fresh4),
		"source-elsewhere-v6":   with(source("[2001:db8:2::1]:0"), fresh4),
		"source-mapped":         with(source("[::ffff:198.51.101.7]:0"), fresh4),
		"source-with-port":      with(source("198.51.100.7:4000"), fresh4),
		"source-loopback":       with(source("127.0.0.1:0"), fresh4),
		"source-unspecified":    with(source("0.0.0.0:0"), fresh4),
		"source-unspecified-v6": with(source("[::]:0"), fresh4),
		"source-multicast":      with(source("224.0.0.1:0"), fresh4),
		"source-broadcast":      with(source("255.255.255.255:0"), fresh4),
		"source-link-local":     with(source("[fe80::1]:0"), fresh4),
		"mark-alone":            with(request{kind: askPrepare, id: 7}, fresh4),
		"no-descriptor":         with(good),
		"two-descriptors":       with(good, fresh4, fresh4),
		"many-descriptors":      with(good, fresh4, fresh4, fresh4, fresh4, fresh4),
		"listen-elsewhere":      with(request{kind: askListen, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:80")}),
		"listen-everywhere":     with(request{kind: askListen, id: 7, addr: netip.MustParseAddrPort("0.0.0.0:0")}),
		"listen-v6":             with(request{kind: askListen, id: 7, addr: netip.MustParseAddrPort("[::1]:0")}),
		"listen-nowhere":        with(request{kind: askListen, id: 7}),
		"listen-and-descriptor": with(request{kind: askListen, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:0")}, fresh4),
		"listen-and-state":      with(request{kind: askListen, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:0"), state: on}),
		"apply-another-state":   with(request{kind: askApply, id: 7, state: 3}),
		"apply-and-address":     with(request{kind: askApply, id: 7, state: on, addr: netip.MustParseAddrPort("127.0.0.1:0")}),
		"apply-and-descriptor":  with(request{kind: askApply, id: 7, state: on}, fresh4),
		"test-that-is-none":     with(request{kind: askTest, id: 7}),
		"test-and-state":        with(request{kind: askTest, id: 7, state: on}),
		"pong-and-descriptor":   with(request{kind: sayPong, id: 7}, fresh4),
		"pong-and-address":      with(request{kind: sayPong, id: 7, addr: netip.MustParseAddrPort("127.0.0.1:0")}),
		"kind-0":                alter(0, 0),
		"kind-6":                alter(0, byte(sayPong)+1),
		"kind-of-the-helper":    alter(0, byte(sayAnswer)),
		"kind-255":              alter(0, 255),
		"state-of-a-prepare":    alter(13, 1),
		"family-5":              alter(14, 5),
		"family-0-with-address": alter(14, 0),
		"bytes-after-address":   alter(30, 1),
		"port-of-no-address":    func(testing.TB) ([]byte, []int) { b := bytesOf(request{kind: askTest}); b[32] = 1; return b, nil },
		"too-short":             func(testing.TB) ([]byte, []int) { return bytesOf(good)[:requestLen-1], nil },
		"too-long":              func(t testing.TB) ([]byte, []int) { return append(bytesOf(good), 0), []int{fresh4(t)} },
		"much-too-long":         func(testing.TB) ([]byte, []int) { return make([]byte, 4096), nil },
		"one-byte":              func(t testing.TB) ([]byte, []int) { return []byte{3}, []int{fresh4(t)} },
	}
	for name, f := range unfit() {
		cases["prepare-"+name] = with(good, f)
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFoe(t, narrow())
			b, fds := make(t)
			before := descriptors(t)
			f.send(t, b, fds...)
			f.wantRefused(t)
			if len(f.steerer.applied) > 0 {
				t.Errorf("applied %v", f.steerer.applied)
			}
			for _, fd := range fds {
				if is, err := unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT); err == nil && is != 0 {
					t.Error("the socket was made transparent")
				}
				if mark, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK); err == nil && mark != 0 {
					t.Error("the socket was marked")
				}
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
		})
	}
}

// descriptors counts those of this process.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(list)
}

// TestInsideTheCharter shows that it was the charter.
func TestInsideTheCharter(t *testing.T) {
	privileged(t)
	f := newFoe(t, narrow())
	for _, a := range []string{"198.51.100.7:0", "203.0.113.9:0", "[::ffff:198.51.100.9]:0"} {
		fd := fresh4(t)
		f.send(t, bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort(a)}), fd)
		if answers, log := f.heard(t); len(answers) != 1 || answers[0].errno != 0 || log != "" {
			t.Errorf("%s: %v, %s", a, answers, log)
		}
		if is, _ := unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT); is != 1 {
			t.Errorf("%s: the socket is not transparent", a)
		}
	}
	dual := socket(t, unix.AF_INET6, unix.SOCK_STREAM, 0)
	f.send(t, bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:0")}), dual)
	if answers, log := f.heard(t); len(answers) != 1 || answers[0].errno != 0 || log != "" {
		t.Errorf("a dual-stack socket: %v, %s", answers, log)
	}
	if a, err := unix.Getsockname(dual); err != nil || netip.AddrFrom16(a.(*unix.SockaddrInet6).Addr).Unmap() != netip.MustParseAddr("198.51.100.7") {
		t.Errorf("a dual-stack socket has %v, %v", a, err)
	}
	f.send(t, bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("[2001:db8:1::7]:0")}), fresh4(t))
	if answers, log := f.heard(t); len(answers) != 1 || syscall.Errno(answers[0].errno) != unix.EAFNOSUPPORT || log != "" {
		t.Errorf("an IPv4 socket with an IPv6 address: %v, %s", answers, log)
	}
	f.send(t, bytesOf(request{kind: askPrepare, id: 7, epoch: 2, addr: netip.MustParseAddrPort("198.51.100.7:0")}), fresh4(t))
	if answers, log := f.heard(t); len(answers) > 0 || log != "" {
		t.Errorf("another epoch: %v, %s", answers, log)
	}
	f.send(t, bytesOf(request{kind: sayPong, id: 99}))
	if answers, log := f.heard(t); len(answers) > 0 || log != "" {
		t.Errorf("a pong without a ping: %v, %s", answers, log)
	}
}

// TestPreparedForGood: what has been prepared can't be bound to anything else,
// whatever its owner does.
func TestPreparedForGood(t *testing.T) {
	privileged(t)
	f := newFoe(t, narrow())
	fd := fresh4(t)
	f.send(t, bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:0")}), fd)
	was, err := unix.Getsockname(fd)
	must(t, err)
	elsewhere := sockaddr(false, netip.MustParseAddrPort("192.0.2.1:0"))
	disconnect := func() {
		var none [16]byte // AF_UNSPEC
		if _, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), uintptr(len(none))); e != 0 {
			t.Errorf("disconnect: %v", e)
		}
	}
	for name, try := range map[string]func(){
		"at-once":    func() {},
		"disconnect": disconnect,
		"while-connecting": func() {
			must(t, unix.SetNonblock(fd, true))
			if err := unix.Connect(fd, sockaddr(false, netip.MustParseAddrPort("127.0.0.1:1"))); !errors.Is(err, unix.EINPROGRESS) {
				t.Errorf("connect: %v", err)
			}
			disconnect()
		},
	} {
		try()
		if err := unix.Bind(fd, elsewhere); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: bound again: %v", name, err)
		}
		is, err := unix.Getsockname(fd)
		must(t, err)
		if a, b := is.(*unix.SockaddrInet4), was.(*unix.SockaddrInet4); a.Addr != b.Addr || a.Port != b.Port {
			t.Errorf("%s: is %v, was %v", name, a, b)
		}
	}
}

// TestFailedBindGrantsNothing: the socket is its owner's as it was.
func TestFailedBindGrantsNothing(t *testing.T) {
	privileged(t)
	c := narrow()
	c.SourcePort = true
	f := newFoe(t, c)
	taken := fresh4(t)
	must(t, unix.SetsockoptInt(taken, unix.SOL_IP, unix.IP_FREEBIND, 1))
	must(t, unix.Bind(taken, sockaddr(false, netip.MustParseAddrPort("198.51.100.7:4000"))))
	fd := fresh4(t)
	f.send(t, bytesOf(request{kind: askPrepare, id: 7, addr: netip.MustParseAddrPort("198.51.100.7:4000")}), fd)
	answers, _ := f.heard(t)
	if len(answers) != 1 || syscall.Errno(answers[0].errno) != unix.EADDRINUSE || answers[0].refused {
		t.Errorf("answered %v", answers)
	}
	if is, _ := unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT); is != 0 {
		t.Error("the socket is transparent")
	}
}

// TestRefusalsAreRationed: the log does not grow as the proxy likes.
func TestRefusalsAreRationed(t *testing.T) {
	f := newFoe(t, narrow())
	f.refusals.while = time.Hour
	lines := 0
	for range 1000 {
		f.send(t, []byte{1})
		_, log := f.heard(t)
		lines += strings.Count(log, "\n")
	}
	if lines != f.refusals.most {
		t.Errorf("%d lines", lines)
	}
	f.refusals.began = f.refusals.began.Add(-time.Hour)
	f.send(t, []byte{1})
	if _, log := f.heard(t); !strings.Contains(log, fmt.Sprint("unsaid=", 1000-lines)) {
		t.Errorf("then %s", log)
	}
}

// TestAppliesAreRationed: a proxy can't keep the kernel busy.
func TestAppliesAreRationed(t *testing.T) {
	f := newFoe(t, narrow())
	f.applies.while = time.Hour
	denied := 0
	for i := range 100 {
		f.send(t, bytesOf(request{kind: askApply, id: 7, state: []state{on, off}[i%2]}))
		answers, _ := f.heard(t)
		if syscall.Errno(answers[0].errno) == unix.EBUSY {
			denied++
		}
	}
	if n := len(f.steerer.applied); n != f.applies.most || denied != 100-n {
		t.Errorf("applied %d times, denied %d", n, denied)
	}
}

// TestSelfTestsAreRationed: one is enough for a while.
func TestSelfTestsAreRationed(t *testing.T) {
	f := newFoe(t, narrow())
	f.o.Test = func(context.Context, Charter) error { return nil }
	ask := func() (errnos []uint32) {
		f.send(t, bytesOf(request{kind: askTest, id: 7}))
		f.tests.Wait()
		answers, _ := f.heard(t)
		for _, a := range answers {
			errnos = append(errnos, a.errno)
		}
		return errnos
	}
	f.proofs.while = time.Hour
	for _, want := range []syscall.Errno{0, unix.EBUSY, unix.EBUSY} {
		if got := ask(); len(got) != 1 || syscall.Errno(got[0]) != want {
			t.Errorf("answered %v, want %v", got, want)
		}
	}
	f.proofs.began = f.proofs.began.Add(-time.Hour)
	if got := ask(); len(got) != 1 || got[0] != 0 {
		t.Errorf("later: %v", got)
	}
}

// TestDeafen: what was sent and not read is closed, behind an empty message too.
func TestDeafen(t *testing.T) {
	f := newFoe(t, narrow())
	var leash [2]int
	must(t, unix.Pipe2(leash[:], unix.O_CLOEXEC|unix.O_NONBLOCK))
	defer unix.Close(leash[0])
	must(t, f.far.send(nil, -1))
	must(t, f.far.send([]byte{1}, leash[1]))
	must(t, unix.Close(leash[1]))
	var b [1]byte
	if _, err := unix.Read(leash[0], b[:]); !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("the leash ends before: %v", err)
	}
	f.voice.pair.deafen()
	if n, err := unix.Read(leash[0], b[:]); n != 0 || err != nil {
		t.Errorf("the leash lives: %d, %v", n, err)
	}
	if err := f.far.send([]byte{1}, -1); !errors.Is(err, unix.EPIPE) {
		t.Errorf("it still takes messages: %v", err)
	}
	if err := f.voice.lost(unix.EPERM); err != nil {
		t.Errorf("it can't say anything any more: %v", err)
	}
}

// TestLingerDoesNotHoldUp has the server close a connection last that would wait an
// hour for its bytes to be taken.
func TestLingerDoesNotHoldUp(t *testing.T) {
	privileged(t)
	f := newFoe(t, narrow())
	fd := connected(t)
	must(t, unix.SetNonblock(fd, true))
	for {
		if _, err := unix.Write(fd, make([]byte, 1<<16)); err != nil {
			break
		}
	}
	must(t, unix.SetNonblock(fd, false))
	must(t, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 3600}))
	must(t, f.far.send(bytesOf(request{kind: askPrepare, id: 7}), fd))
	other := fresh4(t)
	must(t, unix.Dup3(other, fd, unix.O_CLOEXEC)) // the connection is now in the message alone
	if !f.answer(t.Context(), f.fd) {
		t.Fatal("the server takes that for the end")
	}
}
