package lab_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform/lab"
)

func TestMain(m *testing.M) { labtest.Main(m) }

func TestGatewayForwards(t *testing.T) {
	n := labtest.Gateway(t)
	for name, server := range map[string]string{"v4": lab.ServerAddr4, "v6": lab.ServerAddr6} {
		t.Run(name, func(t *testing.T) {
			l, err := n.Server.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(server), 80))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, c.RemoteAddr().String())
				c.Close()
			}()
			c, err := n.Client.Dial(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			b, err := io.ReadAll(c)
			if err != nil || string(b) != c.LocalAddr().String() {
				t.Fatalf("the server saw %q, %v; want the client, %s", b, err, c.LocalAddr())
			}
		})
	}
}

func TestCommandRunsInside(t *testing.T) {
	n := labtest.Gateway(t)
	b, err := n.Client.Command(t.Context(), "/bin/cat", "/proc/net/dev").Output()
	if err != nil || !strings.Contains(string(b), "eth0:") {
		t.Fatalf("interfaces seen inside: %q, %v", b, err)
	}
	if ours, err := os.ReadFile("/proc/net/dev"); err != nil || strings.Contains(string(ours), "lan0") {
		t.Fatalf("interfaces seen by this process: %q, %v", ours, err)
	}
	if err := n.Client.Command(t.Context(), "/bin/sh", "-c", "exit 3").Run(); err == nil || !strings.Contains(err.Error(), "3") {
		t.Errorf("a program that fails: %v", err)
	}
	if err := n.Client.Command(t.Context(), "/no/such/program").Run(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	labtest.New(t) // skips without namespaces
	before := descriptors(t)
	n, err := lab.Gateway()
	if err != nil {
		t.Fatal(err)
	}
	// A program, and one that the program leaves behind in a session of its
	// own; both hold the pipe.
	cmd := n.Client.Command(t.Context(), "/bin/sh", "-c", "setsid sleep 1000 & echo started; exec sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 8)
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(out); len(rest) > 0 || err != nil && !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %q, %v", rest, err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the program ended well; want it killed")
	}
	if err := n.Client.Command(t.Context(), "/bin/true").Start(); err == nil {
		t.Error("a closed lab starts programs")
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestDoHandsOnHowItEnds(t *testing.T) {
	h, err := labtest.New(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Do(func() error { return io.ErrNoProgress }); err != io.ErrNoProgress {
		t.Errorf("an error: %v", err)
	}
	func() {
		defer func() {
			if r := recover(); r != "oops" {
				t.Errorf("a panic: %v", r)
			}
		}()
		h.Do(func() error { panic("oops") })
	}()
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- !returned }()
		h.Do(func() error { goexit(); return nil })
		returned = true
	}()
	if !<-ended {
		t.Error("a Goexit does not end the caller")
	}
}

const modeVariable = "TRANSOM_TEST_LAB"

// TestInside is no test: it is what runs in the processes that TestReexec
// starts, behind Reexec.
func TestInside(t *testing.T) {
	mode := os.Getenv(modeVariable)
	if mode == "" {
		return // run as part of the suite: nothing to do
	}
	if _, err := lab.Gateway(); err != nil {
		t.Fatal(err)
	}
	wait := notify()
	os.Stdout.WriteString("ready\n")
	switch mode {
	case "exits":
		os.Exit(7)
	case "is-told":
		<-wait
		os.Exit(9)
	case "is-killed":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	select {}
}

func TestReexec(t *testing.T) {
	labtest.New(t)
	tests := map[string]struct {
		signal syscall.Signal
		code   int
	}{
		"exits":     {0, 7},
		"is-told":   {syscall.SIGTERM, 9},
		"is-killed": {0, 128 + int(syscall.SIGKILL)},
		"outlives":  {syscall.SIGKILL, -1},
	}
	for mode, tt := range tests {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestInside$")
			cmd.Env = append(os.Environ(), modeVariable+"="+mode)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := startWithoutRights(cmd); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 6)
			if _, err := io.ReadFull(out, line); err != nil || string(line) != "ready\n" {
				rest, _ := io.ReadAll(out)
				t.Fatalf("%q, %v", string(line)+string(rest), err)
			}
			if tt.signal != 0 {
				if err := cmd.Process.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
			}
			// The pipe ends when the process inside has, too.
			if _, err := io.Copy(io.Discard, out); err != nil {
				t.Error(err)
			}
			_ = cmd.Wait() // its code is looked at
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("code %d, want %d", got, tt.code)
			}
		})
	}
}
