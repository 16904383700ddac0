package pf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
)

func ap(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func zeros(n int) string { return strings.Repeat("00", n) }

func hexOf(b []byte) string { return hex.EncodeToString(b) }

// A kernel is a device that knows states, and speaks the struct of a system as that
// system's C does. Keys are client, arrived.
type kernel struct {
	system string
	states map[[2]netip.AddrPort]netip.AddrPort
	err    error // instead of any answer
	asked  int
}

func (k *kernel) Ioctl(request uint32, arg []byte) error {
	k.asked++
	if k.err != nil {
		return k.err
	}
	switch k.system {
	case "darwin":
		return speak(k, request, 0xc0544417, arg, func(n *darwinNatlook) (*ask, func(netip.AddrPort)) {
			return &ask{n.Saddr, n.Daddr, [2]byte(n.Sxport[:]), [2]byte(n.Dxport[:]), n.AF, n.Proto, n.Direction, 30}, func(a netip.AddrPort) {
				copy(n.Rdaddr[:], a.Addr().AsSlice())
				binary.BigEndian.PutUint16(n.Rdxport[:], a.Port())
			}
		})
	case "freebsd":
		return speak(k, request, 0xc04c4417, arg, func(n *freebsdNatlook) (*ask, func(netip.AddrPort)) {
			return &ask{n.Saddr, n.Daddr, n.Sport, n.Dport, n.AF, n.Proto, n.Direction, 28}, func(a netip.AddrPort) {
				copy(n.Rdaddr[:], a.Addr().AsSlice())
				binary.BigEndian.PutUint16(n.Rdport[:], a.Port())
			}
		})
	default:
		return speak(k, request, 0xc0504417, arg, func(n *openbsdNatlook) (*ask, func(netip.AddrPort)) {
			return &ask{n.Saddr, n.Daddr, n.Sport, n.Dport, n.AF, n.Proto, n.Direction, 24}, func(a netip.AddrPort) {
				copy(n.Rdaddr[:], a.Addr().AsSlice())
				binary.BigEndian.PutUint16(n.Rdport[:], a.Port())
			}
		})
	}
}

// An ask is what a kernel reads of a struct.
type ask struct {
	saddr, daddr         [16]byte
	sport, dport         [2]byte
	af, proto, direction uint8
	inet6                uint8
}

// speak answers a request whose struct is a T.
func speak[T any](k *kernel, request, number uint32, arg []byte, view func(*T) (*ask, func(netip.AddrPort))) error {
	if request != number {
		return syscall.ENOTTY
	}
	n := new(T)
	if err := binary.Read(bytes.NewReader(arg), binary.NativeEndian, n); err != nil {
		return err
	}
	a, answer := view(n)
	var client, local netip.Addr
	switch a.af {
	case 2:
		client, local = netip.AddrFrom4([4]byte(a.saddr[:4])), netip.AddrFrom4([4]byte(a.daddr[:4]))
	case a.inet6:
		client, local = netip.AddrFrom16(a.saddr), netip.AddrFrom16(a.daddr)
	default:
		return syscall.EAFNOSUPPORT
	}
	sport, dport := binary.BigEndian.Uint16(a.sport[:]), binary.BigEndian.Uint16(a.dport[:])
	if a.proto != 6 || client.IsUnspecified() || local.IsUnspecified() || sport == 0 || dport == 0 {
		return syscall.EINVAL
	}
	if a.direction != 2 {
		return syscall.ENOENT // as for rdr
	}
	dst, ok := k.states[[2]netip.AddrPort{netip.AddrPortFrom(client, sport), netip.AddrPortFrom(local, dport)}]
	if !ok {
		return syscall.ENOENT
	}
	answer(dst)
	out := bytes.NewBuffer(nil)
	if err := binary.Write(out, binary.NativeEndian, n); err != nil {
		return err
	}
	copy(arg, out.Bytes())
	return nil
}

func systems(t *testing.T, f func(t *testing.T, k *kernel, table *Table)) {
	for _, system := range []string{"darwin", "freebsd", "openbsd"} {
		t.Run(system, func(t *testing.T) {
			l, _ := LayoutOf(system)
			k := &kernel{system: system, states: map[[2]netip.AddrPort]netip.AddrPort{}}
			f(t, k, &Table{Device: k, Layout: l})
		})
	}
}

func (k *kernel) add(client, local, dst string) {
	k.states[[2]netip.AddrPort{ap(client), ap(local)}] = ap(dst)
}

func TestOriginal(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		lo, err = net.InterfaceByName("lo0")
	}
	if err != nil {
		t.Fatal(err)
	}
	systems(t, func(t *testing.T, k *kernel, table *Table) {
		k.add("192.168.1.111:40000", "127.0.0.1:8080", "192.0.2.1:443")
		k.add("[2001:db8::2]:40002", "[::1]:8080", "[2001:db8:f::1]:80")
		k.add("10.0.0.2:5000", "10.0.0.1:8080", "10.0.0.1:8080")   // not redirected, but tracked
		k.add("[fe80::2]:6000", "[fe80::1]:8080", "[fe80::99]:80") // link-local, as on the wire
		k.add(fmt.Sprintf("[fe80:%x::3]:6000", lo.Index), fmt.Sprintf("[fe80:%x::1]:8080", lo.Index), fmt.Sprintf("[fe80:%x::99]:80", lo.Index))
		for name, tt := range map[string]struct{ client, local, want string }{
			"v4":                      {"192.168.1.111:40000", "127.0.0.1:8080", "192.0.2.1:443"},
			"v4-mapped":               {"[::ffff:192.168.1.111]:40000", "[::ffff:127.0.0.1]:8080", "192.0.2.1:443"},
			"v6":                      {"[2001:db8::2]:40002", "[::1]:8080", "[2001:db8:f::1]:80"},
			"not-redirected":          {"10.0.0.2:5000", "10.0.0.1:8080", "10.0.0.1:8080"},
			"link-local":              {"[fe80::2%" + lo.Name + "]:6000", "[fe80::1%" + lo.Name + "]:8080", "[fe80::99%" + lo.Name + "]:80"},
			"link-local-in-kernel":    {"[fe80::3%" + lo.Name + "]:6000", "[fe80::1%" + lo.Name + "]:8080", "[fe80::99%" + lo.Name + "]:80"},
			"link-local-by-its-index": {fmt.Sprintf("[fe80::3%%%d]:6000", lo.Index), fmt.Sprintf("[fe80::1%%%d]:8080", lo.Index), "[fe80::99%" + lo.Name + "]:80"},
		} {
			if got, err := table.Original(ap(tt.client), ap(tt.local)); err != nil || got != ap(tt.want) {
				t.Errorf("%s: %s, %v; want %s", name, got, err, tt.want)
			}
		}
		for _, stranger := range [][2]string{
			{"192.168.1.111:4000", "127.0.0.1:8080"},
			{"92.168.1.111:40000", "127.0.0.1:8080"},
			{"192.168.1.111:40000", "127.0.0.1:8081"},
			{"[2001:db8::2]:40002", "[::2]:8080"},
		} {
			if got, err := table.Original(ap(stranger[0]), ap(stranger[1])); !errors.Is(err, ErrNoState) {
				t.Errorf("%s to %s: %s, %v; want no state", stranger[0], stranger[1], got, err)
			}
		}
	})
}

func TestQuestionsThatMakeNoSense(t *testing.T) {
	systems(t, func(t *testing.T, k *kernel, table *Table) {
		for _, q := range [][2]netip.AddrPort{
			{ap("0.0.0.0:1"), ap("127.0.0.1:8080")},
			{ap("192.0.2.1:0"), ap("127.0.0.1:8080")},
			{ap("192.0.2.1:1"), ap("[::]:8080")},
			{ap("192.0.2.1:1"), ap("[::1]:8080")},
			{{}, ap("[::1]:8080")},
		} {
			if got, err := table.Original(q[0], q[1]); err == nil || errors.Is(err, ErrNoState) || got.IsValid() {
				t.Errorf("%v: %v, %v", q, got, err)
			}
		}
		if k.asked != 0 {
			t.Errorf("the kernel was asked %d times", k.asked)
		}
	})
}

// TestErrorsSayWhatToDo: each errno that there may be, in words.
func TestErrorsSayWhatToDo(t *testing.T) {
	systems(t, func(t *testing.T, k *kernel, table *Table) {
		for errno, words := range map[syscall.Errno]string{
			syscall.ENOENT: "no state",
			syscall.E2BIG:  "have one rule redirect it",
			syscall.EINVAL: "asks as " + table.Layout.System,
			syscall.EPERM:  "run transom as root",
			syscall.EACCES: "run transom as root",
			syscall.ENXIO:  "kldload pf",
			syscall.ENODEV: "kldload pf",
			syscall.ENOTTY: "another struct",
			syscall.EIO:    "input/output error",
		} {
			k.err = errno
			_, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080"))
			if !errors.Is(err, errno) || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "192.0.2.1:1 to 127.0.0.1:8080") {
				t.Errorf("%v: %v", errno, err)
			}
			if errors.Is(err, ErrNoState) != (errno == syscall.ENOENT) {
				t.Errorf("%v: taken for no state: %v", errno, err)
			}
		}
	})
}

// TestOthersLayout: a struct of another system's is refused by a kernel, not
// misread, and the table goes on to what is printed.
func TestOthersLayout(t *testing.T) {
	l, _ := LayoutOf("freebsd")
	k := &kernel{system: "darwin"}
	table := &Table{Device: k, Layout: l}
	if _, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("the layout of FreeBSD on macOS: %v", err)
	}
	table.States = &States{Command: []string{"printf", "ALL tcp 127.0.0.1:8080 <- 198.51.100.1:80 <- 192.0.2.1:1   ESTABLISHED:ESTABLISHED\n"}}
	if got, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); err != nil || got != ap("198.51.100.1:80") {
		t.Errorf("by what is printed: %v, %v", got, err)
	}
	if _, err := table.Original(ap("192.0.2.1:2"), ap("127.0.0.1:8080")); !errors.Is(err, ErrNoState) {
		t.Errorf("what is not printed: %v", err)
	}
	table.States = &States{Command: []string{"sh", "-c", "echo 'pfctl: /dev/pf: Permission denied' >&2; exit 1"}}
	_, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080"))
	if err == nil || errors.Is(err, ErrNoState) || !strings.Contains(err.Error(), "Permission denied") || !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("a program that fails: %v", err)
	}
	table.States = &States{Command: []string{"sh", "-c", "echo 'pfctl: no' >&2; exit 1"}}
	k.err = syscall.ENOENT
	if _, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); !errors.Is(err, ErrNoState) || strings.Contains(err.Error(), "pfctl") {
		t.Errorf("a kernel that knows none: %v", err)
	}
}

// TestDomain: OpenBSD is asked in the domain that the connection has arrived in.
func TestDomain(t *testing.T) {
	l, _ := LayoutOf("openbsd")
	var asked openbsdNatlook
	table := &Table{Domain: 7, Layout: l, Device: deviceFunc(func(_ uint32, arg []byte) error {
		if err := binary.Read(bytes.NewReader(arg), binary.NativeEndian, &asked); err != nil {
			return err
		}
		return syscall.ENOENT
	})}
	if _, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); !errors.Is(err, ErrNoState) || asked.Rdomain != 7 {
		t.Errorf("domain %d, %v", asked.Rdomain, err)
	}
}

type deviceFunc func(request uint32, arg []byte) error

func (f deviceFunc) Ioctl(request uint32, arg []byte) error { return f(request, arg) }

// TestAnswerOfNobody: what a kernel that wrote elsewhere would leave.
func TestAnswerOfNobody(t *testing.T) {
	l, _ := LayoutOf("darwin")
	table := &Table{Device: deviceFunc(func(uint32, []byte) error { return nil }), Layout: l}
	if got, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); err == nil {
		t.Errorf("an answer of nothing: %v", got)
	}
}
