package steer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// scene is a gateway that steers, with servers behind it.
type scene struct {
	*lab.Net
	k      *steer.Kernel
	before []string
}

func set(t testing.TB, s platform.Steering) *scene {
	t.Helper()
	n := labtest.Gateway(t)
	for _, port := range []uint16{80, 8443} {
		serve(t, n.Server, port)
	}
	before := state(t, n.Gateway)
	proxy(t, n.Gateway, s)
	k := open(t, n.Gateway)
	apply(t, k, s)
	return &scene{n, k, before}
}

// echo answers UDP on the server.
func (s *scene) echo(t testing.TB, port uint16) {
	t.Helper()
	var c net.PacketConn
	if err := s.Server.Do(func() (err error) {
		c, err = net.ListenPacket("udp", fmt.Sprintf("[::]:%d", port))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for buf := make([]byte, 100); ; {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(buf[:n], from)
		}
	})
	t.Cleanup(func() {
		c.Close()
		done.Wait()
	})
}

// udp asks the server for an echo.
func udp(t testing.TB, from *lab.Host, to string) error {
	t.Helper()
	var c net.Conn
	if err := from.Do(func() (err error) {
		c, err = net.Dial("udp", to)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(within))
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return err
}

func servers() []string { return []string{lab.ServerAddr4, lab.ServerAddr6} }

func TestOtherPackets(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			s := set(t, usual(m))
			s.echo(t, 53)
			s.echo(t, 443)
			for _, a := range servers() {
				if err := udp(t, s.Client, at(a, 53)); err != nil {
					t.Errorf("UDP to port 53: %v", err)
				}
				if err := udp(t, s.Client, at(a, 443)); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("QUIC: %v, want refused", err)
				}
				if path, err := exec.LookPath("ping"); err == nil {
					if out, err := s.Client.Command(t.Context(), path, "-c1", "-W60", a).CombinedOutput(); err != nil {
						t.Errorf("ping %s: %v: %s", a, err, out)
					}
				}
			}
		})
	}
}

func TestChosenClientsAndServers(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		for name, tt := range map[string]struct {
			from, exclude []netip.Prefix
			four, six     bool // captured
		}{
			"from-them":             {from: prefixes("192.168.1.0/24", "fd01::/64"), four: true, six: true},
			"from-others":           {from: prefixes("192.168.2.0/24", "fd02::/64")},
			"from-ipv4-alone":       {from: prefixes("192.168.1.2/32"), four: true},
			"exclude-the-client":    {exclude: prefixes("192.168.1.2/32"), six: true},
			"exclude-the-server":    {exclude: prefixes("fd09::/64"), four: true},
			"exclude-within-chosen": {from: prefixes("0.0.0.0/0", "::/0"), exclude: prefixes("10.9.0.0/16", "fd09::2/128")},
		} {
			t.Run(m.String()+"-"+name, func(t *testing.T) {
				want := usual(m)
				want.From, want.Exclude = tt.from, tt.exclude
				s := set(t, want)
				for a, captured := range map[string]bool{lab.ServerAddr4: tt.four, lab.ServerAddr6: tt.six} {
					by := ""
					if captured {
						by = "by us, "
					}
					expect(t, s.Client, at(a, 80), by+"from CLIENT")
				}
			})
		}
	}
}

// TestBridgeBeside has a container beside the clients.
func TestBridgeBeside(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			s := set(t, usual(m))
			box, err := s.Host("container")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Connect(
				lab.End{Host: box, Iface: "eth0", Addrs: prefixes("172.17.0.2/16")},
				lab.End{Host: s.Gateway, Iface: "br0", Addrs: prefixes("172.17.0.1/16")},
			); err != nil {
				t.Fatal(err)
			}
			if err := box.Route(netip.MustParsePrefix("0.0.0.0/0"), netip.MustParseAddr("172.17.0.1")); err != nil {
				t.Fatal(err)
			}
			expect(t, box, at(lab.ServerAddr4, 80), "from CLIENT")
			expect(t, s.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT")
		})
	}
}

// TestAtOnce has many spoofed connections open at the same time, where nothing
// may pass that conntrack does not know.
func TestAtOnce(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			s := set(t, usual(m))
			firewall(t, s.Gateway, strict())
			expect(t, s.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT")
			var all sync.WaitGroup
			for i := range 300 {
				all.Go(func() { expect(t, s.Client, at(servers()[i%2], 80), "by us, from CLIENT") })
			}
			all.Wait()
		})
	}
}

// TestOwnerGone ends the Kernel as a kill would: what is new goes direct, or is
// refused, and what is open lives on.
func TestOwnerGone(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-closed-%v", m, closed), func(t *testing.T) {
				want := usual(m)
				want.Closed = closed
				s := set(t, want)
				s.echo(t, 443)
				expect(t, s.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT")
				if err := s.k.Abandon(); err != nil {
					t.Fatal(err)
				}
				for _, a := range servers() {
					expect(t, s.Client, at(a, 8443), "from CLIENT")
					if !closed {
						expect(t, s.Client, at(a, 80), "from CLIENT")
						continue
					}
					if said, _, err := visit(t, s.Client, at(a, 80)); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("%s: %q, %v; want refused", a, said, err)
					}
					if err := udp(t, s.Client, at(a, 443)); !errors.Is(err, syscall.ECONNREFUSED) {
						t.Errorf("QUIC: %v, want refused", err)
					}
				}
				next := open(t, s.Gateway) // and the next one mends it
				apply(t, next, want)
				expect(t, s.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT")
				apply(t, next, platform.Steering{})
				expect(t, s.Client, at(lab.ServerAddr4, 80), "from CLIENT")
				same(t, s.Gateway, s.before)
			})
		}
	}
}

// TestOpenConnectionsLiveOn goes through a drain and a change of owners with one
// connection open.
func TestOpenConnectionsLiveOn(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			n := labtest.Gateway(t)
			serve(t, n.Server, 80)
			firewall(t, n.Gateway, strict())
			want := usual(m)
			proxyTalking(t, n.Gateway, want)
			talker(t, n.Server, 443)
			k := open(t, n.Gateway)
			apply(t, k, want)
			say := talk(t, n.Client, at(lab.ServerAddr4, 443))
			say("captured")
			drain := want
			drain.Draining = true
			apply(t, k, drain)
			say("while we drain")
			expect(t, n.Client, at(lab.ServerAddr4, 80), "from CLIENT")
			apply(t, k, want)
			say("again")
			if err := k.Abandon(); err != nil {
				t.Fatal(err)
			}
			say("the owner is gone")
			expect(t, n.Client, at(lab.ServerAddr4, 80), "from CLIENT")
		})
	}
}

// talker answers each line with the same.
func talker(t testing.TB, h *lab.Host, port uint16) {
	t.Helper()
	l, err := h.Listen(t.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l, func(c net.Conn) { io.Copy(c, c) })
}

// proxyTalking relays both ways, from the client's address.
func proxyTalking(t testing.TB, h *lab.Host, s platform.Steering) {
	t.Helper()
	p, l := listenFor(t, h, s)
	m := s.Marks.OrDefault()
	accept(t, l, func(c net.Conn) {
		dst, _, err := p.OriginalDst(context.Background(), c)
		if err != nil {
			return
		}
		server, err := p.Dial(context.Background(), platform.Socket{
			Mark: m.Upstream, Transparent: true, Require: true, Bind: netip.MustParseAddrPort(plain(c.RemoteAddr())),
		}, dst)
		if err != nil {
			return
		}
		defer server.Close()
		var back sync.WaitGroup
		back.Go(func() { io.Copy(c, server) })
		io.Copy(server, c)
		server.(*net.TCPConn).CloseWrite()
		back.Wait()
	})
}

// talk opens a connection, and returns what says a line and hears it.
func talk(t testing.TB, from *lab.Host, to string) func(line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := from.Dial(ctx, netip.MustParseAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	lines := bufio.NewReader(c)
	return func(line string) {
		t.Helper()
		c.SetDeadline(time.Now().Add(within))
		fmt.Fprintln(c, line)
		if got, err := lines.ReadString('\n'); err != nil || got != line+"\n" {
			t.Errorf("%s: heard %q, %v", line, got, err)
		}
	}
}

// TestFirewallComesLater loads a strict firewall when we steer already, and once
// more, which takes our rule away.
func TestFirewallComesLater(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			s := set(t, usual(m))
			for range 2 {
				firewall(t, s.Gateway, strict())
				expect(t, s.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT") // its first packet may be lost
			}
			apply(t, s.k, platform.Steering{})
			fresh := labtest.Gateway(t)
			firewall(t, fresh.Gateway, strict())
			if d := cmp.Diff(comments(t, fresh.Gateway), comments(t, s.Gateway)); d != "" {
				t.Errorf("rules with a comment (-want +got):\n%s", d)
			}
		})
	}
}

func comments(t testing.TB, h *lab.Host) (out []string) {
	t.Helper()
	if err := h.Do(func() error {
		lines, err := tables()
		for _, l := range lines {
			if strings.Contains(l, "Comment:transom") {
				out = append(out, l)
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestIptablesBeside keeps iptables able to list its own.
func TestIptablesBeside(t *testing.T) {
	path, err := exec.LookPath("iptables")
	testnet.Need(t, err == nil, "the iptables program")
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			n := labtest.Gateway(t)
			run := func(args ...string) string {
				t.Helper()
				out, err := n.Gateway.Command(t.Context(), path, args...).CombinedOutput()
				if err != nil {
					t.Fatalf("iptables %q: %v: %s", args, err, out)
				}
				return string(out)
			}
			testnet.Need(t, strings.Contains(run("--version"), "nf_tables"), "iptables of nf_tables")
			run("-P", "INPUT", "DROP")
			run("-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
			before := run("-S")
			serve(t, n.Server, 80)
			proxy(t, n.Gateway, usual(m))
			k := open(t, n.Gateway)
			apply(t, k, usual(m))
			expect(t, n.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT")
			if rules := run("-S"); !strings.Contains(rules, `-A INPUT -m mark --mark 0x10/0x70 -m comment --comment transom -j ACCEPT`) {
				t.Errorf("iptables lists\n%s", rules)
			}
			apply(t, k, platform.Steering{})
			if after := run("-S"); after != before {
				t.Errorf("iptables lists %s, before %s", after, before)
			}
		})
	}
}

// TestNoIPv6 steers IPv4 alone where IPv6 is off.
func TestNoIPv6(t *testing.T) {
	n := labtest.Gateway(t)
	for _, key := range []string{"all", "default", "lo"} {
		if err := n.Gateway.Sysctl("net.ipv6.conf."+key+".disable_ipv6", "1"); err != nil {
			t.Fatal(err)
		}
	}
	before := state(t, n.Gateway)
	serve(t, n.Server, 80)
	proxy(t, n.Gateway, usual(platform.TPROXY))
	k := open(t, n.Gateway)
	if err := k.Check(t.Context(), usual(platform.TPROXY)); err != nil {
		t.Error(err)
	}
	apply(t, k, usual(platform.TPROXY))
	expect(t, n.Client, at(lab.ServerAddr4, 80), "by us, from CLIENT")
	apply(t, k, platform.Steering{})
	same(t, n.Gateway, before)
}

const steererVariable = "TRANSOM_TEST_STEERER"

// TestSteererProcess is no test: it is the process that TestKill kills.
func TestSteererProcess(t *testing.T) {
	if os.Getenv(steererVariable) == "" {
		return // run as part of the suite: nothing to do
	}
	k, err := steer.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, k, usual(platform.TPROXY))
	fmt.Println("ready")
	<-context.Background().Done()
}

// startTest runs one of these tests in a process of its own on a host, with an
// environment variable set, and waits until it says a word.
func startTest(t *testing.T, h *lab.Host, test, variable, word string) *lab.Cmd {
	t.Helper()
	cmd := h.Command(t.Context(), "/proc/self/exe", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), variable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, len(word)+1)
	if _, err := io.ReadFull(out, said); err != nil || string(said) != word+"\n" {
		t.Fatalf("%s says %q, %v", test, said, err)
	}
	return cmd
}

func TestKill(t *testing.T) {
	n := labtest.Gateway(t)
	if err := n.Gateway.Sysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	before := state(t, n.Gateway)
	cmd := startTest(t, n.Gateway, "TestSteererProcess", steererVariable, "ready")
	k := open(t, n.Gateway)
	for what, err := range map[string]error{
		"check": k.Check(t.Context(), usual(platform.TPROXY)),
		"apply": k.Apply(t.Context(), usual(platform.Redirect)),
	} {
		if !errors.Is(err, steer.ErrLiving) || !strings.Contains(err.Error(), "table inet transom") {
			t.Errorf("%s while another steers: %v", what, err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	left, err := k.Cleanup(t.Context())
	if err != nil || !cmp.Equal(left[0], "nft table inet transom_divert") {
		t.Errorf("removed %q, %v", left, err)
	}
	same(t, n.Gateway, before)
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	ours := usual(platform.TPROXY)
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, h *lab.Host)
		change  func(s *platform.Steering)
		want    string
	}{
		"no-interface": {change: func(s *platform.Steering) { s.Interfaces = []string{"lan0", "eth7"} }, want: `no interface "eth7"; there are lo, lan0, wan0`},
		"no-port":      {change: func(s *platform.Steering) { s.Port = 0 }, want: "no port"},
		"no-cgroup":    {change: func(s *platform.Steering) { s.Local, s.Cgroup = true, "no/such/transom" }, want: "no/such/transom"},
		"foreign-rule": {prepare: func(t *testing.T, h *lab.Host) {
			path, err := exec.LookPath("ip")
			testnet.Need(t, err == nil, "the ip program")
			if out, err := h.Command(t.Context(), path, "rule", "add", "pref", "7891", "fwmark", "7", "lookup", "100").CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, want: "ip rule 7891: fwmark 0x7/0xffffffff lookup 100 is not ours"},
	} {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			if tt.prepare != nil {
				tt.prepare(t, n.Gateway)
			}
			s := ours
			if tt.change != nil {
				tt.change(&s)
			}
			before := state(t, n.Gateway)
			k := open(t, n.Gateway)
			if err := k.Check(t.Context(), s); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("check: %v, want %q", err, tt.want)
			}
			same(t, n.Gateway, before)
			if name == "foreign-rule" {
				return // Apply would have done: rules are told apart by who made them
			}
			if err := k.Apply(t.Context(), s); err == nil {
				t.Error("applied all the same")
			}
			same(t, n.Gateway, before)
		})
	}
}

// TestFailedApplyChangesNothing fails from nothing and from something.
func TestFailedApplyChangesNothing(t *testing.T) {
	n := labtest.Gateway(t)
	if err := n.Gateway.Sysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	bad := usual(platform.Redirect)
	bad.Interfaces = []string{"lan0", "wan0"}
	bad.Local, bad.Cgroup = true, "no/such/transom" // found out when all but the last step is done
	before := state(t, n.Gateway)
	k := open(t, n.Gateway)
	if err := k.Apply(t.Context(), bad); err == nil {
		t.Fatal("applied")
	}
	same(t, n.Gateway, before)
	apply(t, k, usual(platform.TPROXY))
	good := withoutHandles(state(t, n.Gateway))
	if err := k.Apply(t.Context(), bad); err == nil {
		t.Fatal("applied")
	}
	if d := cmp.Diff(good, withoutHandles(state(t, n.Gateway))); d != "" {
		t.Errorf("a failed change:\n%s", d)
	}
	apply(t, k, platform.Steering{})
	same(t, n.Gateway, before)
}

// withoutHandles leaves out the numbers that the kernel gives rules.
func withoutHandles(lines []string) (out []string) {
	for _, l := range lines {
		if i := strings.Index(l, " Handle:"); i >= 0 {
			l = l[:i]
		}
		out = append(out, l)
	}
	return out
}

func TestUnprivileged(t *testing.T) {
	n := labtest.Gateway(t)
	before := state(t, n.Gateway)
	if err := n.Gateway.Do(func() error {
		defer dropRights(t)()
		k, err := steer.Open(nil)
		if err != nil {
			return err
		}
		if err := k.Check(t.Context(), usual(platform.TPROXY)); err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
			t.Errorf("check: %v", err)
		}
		if err := k.Apply(t.Context(), usual(platform.TPROXY)); !errors.Is(err, os.ErrPermission) {
			t.Errorf("apply: %v", err)
		}
		return k.Close()
	}); err != nil {
		t.Error(err)
	}
	same(t, n.Gateway, before)
}

// dropRights takes CAP_NET_ADMIN from the calling thread until the function it
// returns is called.
func dropRights(t testing.TB) (back func()) {
	t.Helper()
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(head, &all[0]); err != nil {
		t.Fatal(err)
	}
	less := all
	less[0].Effective &^= 1 << unix.CAP_NET_ADMIN
	if err := unix.Capset(head, &less[0]); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Capset(head, &all[0]); err != nil {
			t.Error(err)
		}
	}
}

// TestChangedMeanwhile leaves settings alone that somebody else has changed.
func TestChangedMeanwhile(t *testing.T) {
	n := labtest.Gateway(t)
	for _, s := range [][2]string{{"net.ipv4.conf.lan0.send_redirects", "1"}, {"net.ipv4.conf.all.send_redirects", "1"}} {
		if err := n.Gateway.Sysctl(s[0], s[1]); err != nil {
			t.Fatal(err)
		}
	}
	before := state(t, n.Gateway)
	k := open(t, n.Gateway)
	apply(t, k, usual(platform.Redirect))
	if err := n.Gateway.Sysctl("net.ipv4.conf.lan0.send_redirects", "2"); err != nil {
		t.Fatal(err)
	}
	apply(t, k, platform.Steering{})
	for i, l := range before {
		before[i] = strings.Replace(l, "conf/lan0/send_redirects = 1", "conf/lan0/send_redirects = 2", 1)
	}
	same(t, n.Gateway, before)
}

// TestInterfaceGoes has an interface go while we steer.
func TestInterfaceGoes(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			n := labtest.Gateway(t)
			more, err := n.Host("more")
			if err != nil {
				t.Fatal(err)
			}
			before := state(t, n.Gateway)
			if err := n.Connect(lab.End{Host: more, Iface: "eth0"}, lab.End{Host: n.Gateway, Iface: "usb0"}); err != nil {
				t.Fatal(err)
			}
			want := usual(m)
			want.Interfaces = []string{"lan0", "usb0"}
			k := open(t, n.Gateway)
			apply(t, k, want)
			if err := more.Do(func() error {
				l, err := netlink.LinkByName("eth0")
				if err != nil {
					return err
				}
				return netlink.LinkDel(l)
			}); err != nil {
				t.Fatal(err)
			}
			want.Draining = true
			apply(t, k, want)
			apply(t, k, platform.Steering{})
			same(t, n.Gateway, before)
		})
	}
}

// TestLockedFirewall meets a firewall that nobody but its owner may change.
func TestLockedFirewall(t *testing.T) {
	n := labtest.Gateway(t)
	table := strict()
	table.Owned = true
	labtest.Rules(t, n.Gateway, table)
	var log bytes.Buffer
	var k *steer.Kernel
	if err := n.Gateway.Do(func() (err error) {
		k, err = steer.Open(slog.New(slog.NewTextHandler(&log, nil)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	apply(t, k, usual(platform.TPROXY))
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "meta mark & 0x00000070 == 0x00000010 accept") {
		t.Errorf("the log does not say which rule is missing: %s", &log)
	}
}

const cgroupVariable = "TRANSOM_TEST_VISITOR"

// TestVisitorProcess is no test: it is the program in a cgroup, or outside of
// it, that TestOwnCgroup starts.
func TestVisitorProcess(t *testing.T) {
	to := os.Getenv(cgroupVariable)
	if to == "" {
		return // run as part of the suite: nothing to do
	}
	c, err := net.DialTimeout("tcp", to, within)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.Copy(os.Stdout, c)
}

// TestOwnCgroup captures what this host's programs send, but for those in our
// cgroup.
func TestOwnCgroup(t *testing.T) {
	dir, err := os.MkdirTemp("/sys/fs/cgroup/unified", "transom-test-")
	if errors.Is(err, os.ErrNotExist) {
		dir, err = os.MkdirTemp("/sys/fs/cgroup", "transom-test-")
	}
	testnet.Need(t, err == nil, "a cgroup of version 2 that can be written to, at /sys/fs/cgroup")
	t.Cleanup(func() { os.Remove(dir) })
	cgroup, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	s := set(t, platform.Steering{Method: platform.TPROXY, Port: 8080, Local: true, Cgroup: filepath.Base(dir), Ports: web()})
	for _, inside := range []bool{true, false} {
		cmd := s.Gateway.Command(t.Context(), "/proc/self/exe", "-test.run=^TestVisitorProcess$")
		cmd.Env = append(os.Environ(), cgroupVariable+"="+at(lab.ServerAddr4, 80))
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: inside, CgroupFD: int(cgroup.Fd())}
		out, err := cmd.CombinedOutput()
		if err != nil || strings.HasPrefix(string(out), "by us, from") == inside {
			t.Errorf("in our cgroup %v: %v, %q", inside, err, out)
		}
	}
}

// TestMarksChange has a firewall know the marks that are in force.
func TestMarksChange(t *testing.T) {
	n := labtest.Gateway(t)
	serve(t, n.Server, 80)
	firewall(t, n.Gateway, strict())
	a, b := usual(platform.TPROXY), usual(platform.TPROXY)
	b.Port, b.Marks = 8081, platform.Marks{Mask: 0x700, In: 0x100, Client: 0x200, Upstream: 0x300}
	proxy(t, n.Gateway, a)
	proxy(t, n.Gateway, b)
	before := state(t, n.Gateway)
	k := open(t, n.Gateway)
	for _, s := range []platform.Steering{a, b, a} {
		apply(t, k, s)
		for _, server := range servers() {
			expect(t, n.Client, at(server, 80), "by us, from CLIENT")
		}
	}
	apply(t, k, platform.Steering{})
	same(t, n.Gateway, before)
}

// TestHost applies by way of the whole host.
func TestHost(t *testing.T) {
	n := labtest.Gateway(t)
	before := state(t, n.Gateway)
	var h platform.Host
	if err := n.Gateway.Do(func() (err error) {
		h, err = steer.Here(nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := h.Apply(t.Context(), usual(platform.TPROXY)); err != nil {
		t.Error(err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	same(t, n.Gateway, before)
	if err := h.Apply(t.Context(), usual(platform.TPROXY)); err == nil {
		t.Error("a closed host steers")
	}
}
