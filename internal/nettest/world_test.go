package nettest_test

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transom/internal/testnet/labtest"
	"transom/platform/lab"
)

// within bounds one test, and patience what it waits for. Both are for what never comes:
// no test depends on how long something takes, on whatever machine.
const (
	within   = 15 * time.Minute
	patience = 2 * time.Minute
)

// A world is a client, a gateway and a server in namespaces of their own, with
// nothing redirected and nothing served yet.
type world struct {
	*lab.Net
	t         *testing.T
	ctx       context.Context
	dir       string // for files of this world
	authority *authority
	more      map[string]*lab.Host // hosts besides the three, by name
	iptables  bool                 // what captures was made by iptables
}

// newWorld returns a world that ends with t, which runs beside others.
func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	if built.err != nil {
		t.Fatal(built.err)
	}
	// Not t's own context, which is done before programs are told to end.
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	w := &world{Net: labtest.Gateway(t), t: t, ctx: ctx, dir: t.TempDir()}
	w.authority = newAuthority(t, w.path("origin-ca.pem"))
	return w
}

// path names a file of this world.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write writes a file of this world and returns its path.
func (w *world) write(name, content string) string {
	w.t.Helper()
	path := w.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) read(path string) string {
	w.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// command returns a program to run on h. Nothing of the user's is in its
// environment: its home is this world's directory.
func (w *world) command(h *lab.Host, name string, args ...string) *lab.Cmd {
	cmd := h.Command(w.ctx, find(name), args...)
	cmd.Dir = w.dir
	cmd.Env = []string{
		"HOME=" + w.dir, "LC_ALL=C", "TZ=UTC", "USER=root",
		"PATH=" + built.dir + ":" + sbin + ":/usr/local/bin:/usr/bin:/bin",
	}
	cmd.WaitDelay = patience
	return cmd
}

// try runs a program to its end.
func (w *world) try(h *lab.Host, name string, args ...string) (stdout, stderr string, err error) {
	cmd := w.command(h, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// must runs a program that has to exit with 0, and returns what it printed.
func (w *world) must(h *lab.Host, name string, args ...string) string {
	w.t.Helper()
	stdout, stderr, err := w.try(h, name, args...)
	if err != nil {
		w.t.Fatalf("%s: %s %s: %v\n%s%s", h.Name(), name, strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// redirect sends what the client sends to these ports ("80,443"; "" is all) of
// others to port 8080, for IPv4 and IPv6.
func (w *world) redirect(ports string) {
	w.t.Helper()
	need(w.t, "iptables", "ip6tables")
	for _, ipt := range []string{"iptables", "ip6tables"} {
		rule := []string{"-t", "nat", "-A", "PREROUTING", "-i", "lan0", "-p", "tcp", "-m", "addrtype", "!", "--dst-type", "LOCAL"}
		if ports != "" {
			rule = append(rule, "-m", "multiport", "--dports", ports)
		}
		w.must(w.Gateway, ipt, append(rule, "-j", "REDIRECT", "--to-ports", "8080")...)
	}
}

// dial opens a connection from the client that must succeed; it is closed when
// the test ends.
func (w *world) dial(to string) *net.TCPConn {
	w.t.Helper()
	c, err := w.Client.Dial(w.ctx, netip.MustParseAddrPort(to))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// listen listens on a port of the server, for IPv4 and IPv6.
func (w *world) listen(port uint16) net.Listener {
	w.t.Helper()
	l, err := w.Server.Listen(w.ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	return l
}

// eventually waits until ok reports true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// families are the ways to the server.
var families = []struct{ name, host, addr, gateway string }{
	{"v4", lab.ServerAddr4, lab.ServerAddr4, lab.LANAddr4},
	{"v6", "[" + lab.ServerAddr6 + "]", lab.ServerAddr6, "[" + lab.LANAddr6 + "]"},
}
