package owner

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"transom/flow"
	"transom/internal/testnet"
	"transom/platform"
)

// logged is a log that can be looked at.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func start(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Start(every(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// owner asks and waits.
func (c *Client) owner(network, client, dst string) *flow.Process {
	to := make(chan *flow.Process, 1)
	c.Ask(network, netip.MustParseAddrPort(client), netip.MustParseAddrPort(dst), func(p *flow.Process) { to <- p })
	return <-to
}

// TestClient asks another process, from many goroutines.
func TestClient(t *testing.T) {
	noLeaks(t)
	tcp, udp := listen(t, "127.0.0.1:0")
	c := start(t, Options{})
	var wg sync.WaitGroup
	for i := range 200 {
		network, dst := "tcp", tcp
		if i%2 == 1 {
			network, dst = "udp", udp
		}
		own, err := net.Dial(network, dst)
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		wg.Go(func() {
			if p := c.owner(network, own.LocalAddr().String(), dst); p == nil || p.PID != os.Getpid() {
				t.Errorf("%s: %+v", network, p)
			}
		})
	}
	wg.Wait()
	if p := c.owner("tcp", "127.0.0.1:1", tcp); p != nil {
		t.Errorf("nobody's: %+v", p)
	}
	if p := c.owner("tcp", "[::1]:1", tcp); p != nil {
		t.Errorf("of two families: %+v", p)
	}
	if !c.Here(netip.Addr{}) {
		t.Error("not all are here")
	}
}

// TestClientAsAnotherUser has it run as nobody, who with two rights sees what is root's.
func TestClientAsAnotherUser(t *testing.T) {
	testnet.Need(t, os.Getuid() == 0 && canBe(65534), "root, and users besides")
	tcp, _ := listen(t, "127.0.0.1:0")
	own, err := net.Dial("tcp", tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	const dacReadSearch, sysPtrace = 2, 19
	c := start(t, Options{UID: 65534, GID: 65534, Capabilities: []uintptr{dacReadSearch, sysPtrace}})
	if p := c.owner("tcp", own.LocalAddr().String(), tcp); p == nil || p.PID != os.Getpid() || p.Path == "" {
		t.Errorf("with rights: %+v", p)
	}
	c = start(t, Options{UID: 65534, GID: 65534})
	if p := c.owner("tcp", own.LocalAddr().String(), tcp); p == nil || p.PID != 0 || p.UID != 0 || p.User != "root" {
		t.Errorf("without: %+v", p)
	}
}

// TestClientStoppedFinder: one that can't end by itself keeps nobody from ending.
func TestClientStoppedFinder(t *testing.T) {
	noLeaks(t)
	c := start(t, Options{})
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c.cmd.ProcessState == nil || c.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended as %v", c.cmd.ProcessState)
	}
}

// TestClientLosesFinder ends the process that looks: nobody waits, and one line says
// so.
func TestClientLosesFinder(t *testing.T) {
	noLeaks(t)
	log := new(logged)
	c := start(t, Options{Log: log.logger()})
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if p := c.owner("tcp", "127.0.0.1:1", "127.0.0.1:2"); p != nil {
			t.Errorf("%+v", p)
		}
	}
	c.asks.Wait() // it has said so, or would take the end for ours
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "is gone") {
		t.Errorf("%q", got)
	}
}

// hanging is a client whose finder does not answer.
func hanging(t *testing.T, log *slog.Logger) (*Client, *net.UnixConn) {
	t.Helper()
	near, far, err := platform.NewPair("near", "far")
	if err != nil {
		t.Fatal(err)
	}
	end, err := platform.TakePair(far)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	c := newClient(near, &Options{Log: log})
	c.begin()
	t.Cleanup(func() { c.Close() })
	return c, end
}

// TestClientFull asks more than can wait: the oldest go without, at once, and one line
// says so. At the end all have their answers.
func TestClientFull(t *testing.T) {
	noLeaks(t)
	log := new(logged)
	c, _ := hanging(t, log.logger())
	answers := make(chan *flow.Process, 3*queueMost)
	a, b := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	for range 2 * queueMost {
		c.Ask("tcp", a, b, func(p *flow.Process) { answers <- p })
	}
	if n := len(answers); n < queueMost-batchMost || n > queueMost {
		t.Errorf("%d were answered at once", n)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if n := len(answers); n != 2*queueMost {
		t.Errorf("%d were answered in the end", n)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no time") {
		t.Errorf("%q", got)
	}
}

// TestClientHostileFinder has the finder say what makes no sense.
func TestClientHostileFinder(t *testing.T) {
	for name, says := range map[string][]byte{
		"nothing":   {},
		"a-word":    []byte("hello"),
		"elsewhere": (&answer{index: 7}).append(nil),
		"too-much":  slices.Repeat([]byte{0}, answerMost+1),
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			log := new(logged)
			c, end := hanging(t, log.logger())
			if _, err := end.Write(says); err != nil {
				t.Fatal(err)
			}
			if p := c.owner("tcp", "127.0.0.1:1", "127.0.0.1:2"); p != nil {
				t.Errorf("%+v", p)
			}
			c.asks.Wait() // or what has gone wrong would be that it was closed
			c.Close()
			if !strings.Contains(log.String(), "is gone") {
				t.Errorf("%q", log)
			}
		})
	}
}

// TestServeHostileProxy has the proxy say what makes no sense: the finder ends.
func TestServeHostileProxy(t *testing.T) {
	c := start(t, Options{Log: slog.New(slog.DiscardHandler)})
	if _, err := c.pair.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.pair.Read(make([]byte, 1)); n != 0 {
		t.Errorf("%d bytes, %v: the finder goes on", n, err)
	}
}

func noLeaks(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
}
