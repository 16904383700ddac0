package helper_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"transom/internal/testnet"
	"transom/platform"
	"transom/platform/helper"
)

// rootVariable names a file that is there while something is in force: like pf's, it
// belongs to no process.
const rootVariable = "TRANSOM_HELPER_FORCE"

func rootCharter() helper.Charter {
	return helper.Charter{
		Steering: platform.Steering{Method: platform.Redirect, Port: 8080, Interfaces: []string{"em1"}},
		Backend:  "pf",
		Lookups:  []netip.AddrPort{netip.MustParseAddrPort("[::]:8080")},
	}
}

// rootFake is a fake that puts things in force.
type rootFake struct {
	*fake
	force string
}

func openRootFake(log *slog.Logger, backend string, m helper.Memory) (helper.Steerer, error) {
	f, err := openFake(log, backend, m)
	if err != nil {
		return nil, err
	}
	return &rootFake{f.(*fake), os.Getenv(rootVariable)}, nil
}

func (s *rootFake) Apply(ctx context.Context, want platform.Steering) error {
	if want.IsZero() {
		return errors.Join(os.Remove(s.force), s.fake.Apply(ctx, want))
	}
	return errors.Join(os.WriteFile(s.force, fmt.Appendf(nil, "refusing %v", want.Refusing), 0o600), s.fake.Apply(ctx, want))
}

func (s *rootFake) Leave(ctx context.Context) error {
	return errors.Join(os.Remove(s.force), s.fake.Leave(ctx))
}

func (s *rootFake) Leftovers(context.Context) ([]string, error) {
	if _, err := os.Stat(s.force); err != nil {
		return nil, nil
	}
	return []string{"something"}, nil
}

func (s *rootFake) Cleanup(ctx context.Context) ([]string, error) {
	return []string{"something"}, errors.Join(os.Remove(s.force), s.note("cleanup"))
}

func (s *rootFake) Tend(context.Context) (string, error) { return "", nil }

// rootProgram is what a gateway by pf starts, and such a gateway.
func rootProgram(what string) error {
	rights := helper.Rights{Open: openRootFake}
	switch what {
	case "root-watch":
		return helper.WatchRoot(rights)
	case "root-serve":
		return helper.ServeRoot(rights)
	}
	c := rootCharter()
	c.Steering.Closed = os.Getenv(closedVariable) != ""
	h, err := helper.StartRoot(context.Background(), os.Getenv(rootVariable)+".lock", c, helper.Options{})
	if err != nil {
		return err
	}
	if err := h.Apply(context.Background(), c.Steering); err != nil {
		return err
	}
	fmt.Println("ready", helper.WatchOf(h))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// A rootBed is a gateway by pf, whose kernel is a file.
type rootBed struct {
	force string
	diary *diary
	log   *testnet.Log
}

func newRootBed(t *testing.T) *rootBed {
	b := &rootBed{filepath.Join(t.TempDir(), "force"), newDiary(t), &testnet.Log{}}
	t.Setenv(rootVariable, b.force)
	return b
}

func (b *rootBed) start(t *testing.T, c helper.Charter) (client *helper.RootClient, pid int) {
	t.Helper()
	client, err := helper.StartRoot(t.Context(), b.force+".lock", c, helper.Options{Log: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	pid = b.diary.await(t, "open pf")
	if err := client.Apply(t.Context(), c.Steering); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "on")
	return client, pid
}

// left waits until all processes are gone, and says what is in force then.
func (b *rootBed) left(t *testing.T) string {
	t.Helper()
	if err := helper.LockedRoot(t, b.force+".lock"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.force)
	if err != nil {
		return ""
	}
	return string(text)
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("%s to %d: %v", s, pid, err)
	}
}

func TestRootOrderly(t *testing.T) {
	b := newRootBed(t)
	c := rootCharter()
	h, _ := b.start(t, c)
	if who := helper.RunningRoot(b.force + ".lock"); who == nil || who.PID != os.Getpid() {
		t.Errorf("it runs, and that is %v", who)
	}
	s := c.Steering
	s.Draining = true
	if err := h.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "draining")
	s.Port = 8081
	if err := h.Apply(t.Context(), s); !errors.Is(err, helper.ErrRefused) {
		t.Errorf("another steering: %v", err)
	}
	if _, err := helper.StartRoot(t.Context(), b.force+".lock", c, helper.Options{}); !errors.As(err, new(*helper.RunningError)) {
		t.Errorf("a second one: %v", err)
	}
	if err := h.Apply(t.Context(), platform.Steering{}); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "off")
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if left := b.left(t); left != "" {
		t.Errorf("left: %s", left)
	}
	b.diary.nothing(t)
	if who := helper.RunningRoot(b.force + ".lock"); who != nil {
		t.Errorf("nothing runs, and that is %v", who)
	}
}

// TestRootDies kills one of root's processes, in turn, and looks what is left, and
// whether the proxy learns of it.
func TestRootDies(t *testing.T) {
	for _, who := range []string{"helper", "watch"} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-closed-%v", who, closed), func(t *testing.T) {
				b := newRootBed(t)
				c := rootCharter()
				c.Steering.Closed = closed
				h, pid := b.start(t, c)
				want := map[string]string{"helper": "cleanup", "watch": "leave"}[who]
				if who == "watch" {
					pid = helper.WatchOf(h)
				}
				kill(t, pid)
				select {
				case <-h.Lost():
				case <-time.After(soon):
					t.Fatal("the proxy does not learn of it")
				}
				if err := h.Err(); !errors.Is(err, helper.ErrLost) {
					t.Error(err)
				}
				if who == "helper" && closed {
					want = "refusing"
				}
				b.diary.until(t, want, "open pf")
				if left := b.left(t); (left != "") != (want == "refusing") {
					t.Errorf("left: %q", left)
				}
				if err := h.Apply(t.Context(), platform.Steering{}); err != nil {
					t.Errorf("take back what is taken back: %v", err)
				}
				if err := h.Apply(t.Context(), c.Steering); !errors.Is(err, helper.ErrLost) {
					t.Errorf("capture without a helper: %v", err)
				}
			})
		}
	}
}

// TestRootProxyDies kills the proxy, alone and with the helper at once.
func TestRootProxyDies(t *testing.T) {
	for name, want := range map[string]string{"proxy": "leave", "proxy-and-helper": "cleanup"} {
		t.Run(name, func(t *testing.T) {
			b := newRootBed(t)
			cmd := exec.Command("/proc/self/exe", "helper", "root-proxy")
			cmd.Stderr = os.Stderr
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := b.diary.await(t, "open pf")
			b.diary.await(t, "on")
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
				t.Fatalf("%q, %v", line, err)
			}
			if name != "proxy" {
				signal(t, pid, syscall.SIGSTOP) // so that it does not see the proxy go first
			}
			kill(t, cmd.Process.Pid)
			if name != "proxy" {
				kill(t, pid)
			}
			_ = cmd.Wait() // it was killed
			b.diary.until(t, want, "open pf")
			if left := b.left(t); left != "" {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestRootAllDie: what is left by all at once the next one finds.
func TestRootAllDie(t *testing.T) {
	b := newRootBed(t)
	h, pid := b.start(t, rootCharter())
	signal(t, helper.WatchOf(h), syscall.SIGSTOP)
	kill(t, pid)
	kill(t, helper.WatchOf(h))
	<-h.Lost()
	if left := b.left(t); left == "" {
		t.Error("somebody has taken it back, who?")
	}
}

// TestRootTold: who tells the helper or its watch to end tells the proxy.
func TestRootTold(t *testing.T) {
	b := newRootBed(t)
	h, _ := b.start(t, rootCharter())
	signal(t, helper.WatchOf(h), syscall.SIGTERM)
	select {
	case why := <-h.Ending():
		if !strings.Contains(why, "told to end") {
			t.Error(why)
		}
	case <-time.After(soon):
		t.Fatal("nobody tells the proxy")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	b.diary.await(t, "off")
}

// TestRootLookups: connections to listeners are asked about, and no others.
func TestRootLookups(t *testing.T) {
	b := newRootBed(t)
	h, _ := b.start(t, rootCharter())
	l, err := h.Listen(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := h.Dial(t.Context(), platform.Socket{}, netip.MustParseAddrPort(l.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, _, err := h.OriginalDst(t.Context(), in); err == nil || !strings.Contains(err.Error(), "no listener that this was started for") {
		t.Errorf("a port that is not the charter's: %v", err)
	}
}
