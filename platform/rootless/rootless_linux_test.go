package rootless_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/platform"
	"transom/platform/rootless"
)

// TestMain makes this program its own guard and keeper.
func TestMain(m *testing.M) {
	if len(os.Args) < 3 || os.Args[1] != "guard" && os.Args[1] != "keep" {
		os.Exit(m.Run())
	}
	if err := keep(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func keep(as string, args []string) error {
	fd, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if as == "guard" {
		lower := func() error { return nil }
		if text := os.Getenv(lowerVariable); text != "" {
			lower = func() error { return errors.New(text) }
		}
		return rootless.Guard(fd, strings.Join(args[1:], ""), []string{"keep"}, lower)
	}
	guard, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return rootless.Keep(fd, guard, nil, nil)
}

// lowerVariable has a guard fail to give up rights.
const lowerVariable = "TRANSOM_ROOTLESS_LOWER"

var everything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

// open makes a namespace that is closed when t ends.
func open(t *testing.T, network rootless.Network) *rootless.Namespace {
	t.Helper()
	n, err := rootless.New(t.Context(), rootless.Options{Network: network, Program: "/proc/self/exe", Args: []string{"guard"}})
	testnet.Need(t, !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOSPC), fmt.Sprint("user namespaces: ", err))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		n.UDP().Close()
	})
	return n
}

// run runs a shell's script inside, and returns what it has written to the file $OUT
// and how it ended.
func run(t *testing.T, n *rootless.Namespace, script string, more ...func(*rootless.Program)) (string, rootless.End) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	p := rootless.Program{
		Path: "/bin/sh", Args: []string{"sh", "-c", "exec >" + out + " 2>&1\n" + script},
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
	}
	for _, m := range more {
		m(&p)
	}
	if err := n.Start(p); err != nil {
		t.Fatal(err)
	}
	end, err := n.Wait()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), end
}

func TestProgramIsWhoItWas(t *testing.T) {
	out, end := run(t, open(t, rootless.Network{Routes: everything}), "id -u; id -g; grep -E '^(Cap(Eff|Prm|Inh|Amb)|NoNewPrivs)' /proc/self/status; cat /proc/self/uid_map; exit 7")
	want := fmt.Sprintf("%d\n%d\n", os.Getuid(), os.Getgid())
	if !strings.HasPrefix(out, want) || end != (rootless.End{Code: 7}) {
		t.Errorf("%v\n%s", end, out)
	}
	for _, line := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
		// Root is root of its own namespace, which is of no use.
		if os.Getuid() != 0 && !strings.Contains(out, line+":\t0000000000000000\n") {
			t.Errorf("no %s of 0 in\n%s", line, out)
		}
	}
	if !strings.Contains(out, "NoNewPrivs:\t0\n") {
		t.Error(out)
	}
	if f := strings.Fields(out); f[len(f)-3] != strconv.Itoa(os.Getuid()) || f[len(f)-1] != "1" {
		t.Errorf("uid_map: %v", f[len(f)-3:])
	}
}

func TestSignaled(t *testing.T) {
	_, end := run(t, open(t, rootless.Network{}), "kill -TERM $$")
	if end.Signal != int(unix.SIGTERM) || end.ExitCode() != 143 {
		t.Error(end)
	}
}

// TestNothingOutlives ends what a program leaves, also what has left its session and
// what does not want to hear of it.
func TestNothingOutlives(t *testing.T) {
	out, end := run(t, open(t, rootless.Network{}), `sleep 1000 & echo $!
setsid sleep 1000 & echo $!
sh -c 'trap "" TERM; echo $$; kill -STOP $$' &
until grep -q '^State:.T' /proc/$!/status; do sleep 0.01; done`)
	pids := strings.Fields(out)
	if end.Left < 3 || len(pids) != 3 {
		t.Errorf("%d left; %q", end.Left, pids)
	}
	for _, pid := range pids {
		if _, err := os.Stat("/proc/" + pid); err == nil {
			t.Errorf("process %s lives", pid)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	hidden := filepath.Join(dir, "hidden")
	if err := errors.Join(os.WriteFile(there, []byte("machine's\n"), 0o644), os.Mkdir(hidden, 0o755),
		os.WriteFile(filepath.Join(hidden, "key"), nil, 0o644), os.WriteFile(filepath.Join(dir, "other"), []byte("other\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	out, _ := run(t, open(t, rootless.Network{}), "cd "+dir+"; cat there other new/one; ls hidden; stat -c %a hidden/two; cat /proc/self/fd/{fd:0}", func(p *rootless.Program) {
		p.Hide = []string{hidden}
		p.Hand = []string{"handed {fd:0}\n"}
		p.Files = []rootless.File{
			{Path: there, Data: []byte("ours\n")},
			{Path: filepath.Join(dir, "new/one"), Data: []byte("added\n")},
			{Path: filepath.Join(hidden, "two"), Private: true},
		}
	})
	lines := strings.Split(out, "\n")
	if strings.Join(lines[:5], " ") != "ours other added two 600" || !strings.HasPrefix(lines[5], "handed ") {
		t.Errorf("%q", out)
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "machine's\n" {
		t.Errorf("outside: %q, %v", b, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// TestCapture takes a connection and a datagram to somebody who is nowhere.
func TestCapture(t *testing.T) {
	bash := testnetProgram(t, "/bin/bash")
	n := open(t, rootless.Network{Routes: everything})
	base, err := platform.Here(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	host := n.Host(base)
	l, err := host.Listen(t.Context(), platform.Socket{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 2)
	go func() { served <- serveTCP(t.Context(), host, l) }()
	go func() { served <- serveUDP(t.Context(), n) }()
	out, _ := run(t, n, bash+` -c 'exec 3<>/dev/tcp/198.51.100.7/80; cat <&3; exec 4<>/dev/udp/198.51.100.7/5353; echo -n ping >&4; head -c 4 <&4'`)
	if want := "you meant 198.51.100.7:80\npong"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	for range 2 {
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func testnetProgram(t *testing.T, path string) string {
	t.Helper()
	_, err := os.Stat(path)
	testnet.Need(t, err == nil, path)
	return path
}

func serveTCP(ctx context.Context, host platform.Host, l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	dst, via, err := host.OriginalDst(ctx, c)
	if err != nil || via != "tproxy" {
		return fmt.Errorf("%s: %w", via, err)
	}
	_, err = fmt.Fprintf(c, "you meant %s\n", dst)
	return err
}

func serveUDP(ctx context.Context, n *rootless.Namespace) error {
	var client, dst netip.AddrPort
	if err := n.UDP().Hear(func(_ []byte, c, d netip.AddrPort) { client, dst = c, d }); err != nil {
		return err
	}
	c, err := n.Answer(ctx, client, dst)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("pong"))
	return err
}

// TestProxyDies has the line end, as when the proxy was killed.
func TestProxyDies(t *testing.T) {
	n := open(t, rootless.Network{})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0); err != nil { // the program inherits it
		t.Fatal(err)
	}
	if err := n.Start(rootless.Program{Path: "/bin/sh", Args: []string{"sh", "-c", "setsid sleep 1000 & exec sleep 1000"}, Env: []string{"PATH=/usr/bin:/bin"}}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil { // all that have it are gone
		t.Error(err)
	}
}

// TestNamespaceIsKilled kills the guard, the keeper and the program, and has all that
// the program has started end, also what has left its session.
func TestNamespaceIsKilled(t *testing.T) {
	for name, generations := range map[string]int{"program": 0, "keeper": 1, "guard": 2} {
		t.Run(name, func(t *testing.T) {
			n := open(t, rootless.Network{})
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0); err != nil { // all inherit it
				t.Fatal(err)
			}
			script := "pid=$$; for i in $(seq $0); do pid=$(awk '/^PPid/{print $2}' /proc/$pid/status); done\n" +
				"setsid sh -c 'sleep 1000 & exec sleep 1000' & (sleep 1000 &)\nkill -KILL $pid\nexec sleep 1000"
			p := rootless.Program{Path: "/bin/sh", Args: []string{"sh", "-c", script, strconv.Itoa(generations)}, Env: []string{"PATH=/usr/bin:/bin"}}
			if err := n.Start(p); err != nil {
				t.Fatal(err)
			}
			w.Close()
			end, err := n.Wait()
			if name == "program" {
				if end.Signal != int(unix.SIGKILL) || err != nil {
					t.Error(end, err)
				}
			} else if !errors.Is(err, rootless.ErrLost) {
				t.Error(end, err)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			if err := r.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); err != nil { // all that have it are gone
				t.Error(err)
			}
		})
	}
}

// TestGuardFails: a guard that can't give up its rights ends the keeper and removes the
// cgroup, here a directory, before it ends.
func TestGuardFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cgroup")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, line := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "line")
	defer ours.Close()
	guard := exec.Command("/proc/self/exe", "guard", "3", dir)
	guard.Env = append(os.Environ(), lowerVariable+"=no room")
	guard.ExtraFiles = []*os.File{line}
	out, err := guard.CombinedOutput()
	line.Close()
	if err == nil || !strings.Contains(string(out), "give up the guard's rights: no room") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cgroup is there: %v", err)
	}
}

func TestNoSuchProgram(t *testing.T) {
	err := open(t, rootless.Network{}).Start(rootless.Program{Path: "/nonexistent", Args: []string{"x"}})
	if !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
}
