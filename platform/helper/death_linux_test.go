package helper_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/helper"
	"transom/platform/lab"
)

// kill ends a process that this test has started, by way of others.
func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}

// parent is the process that started another.
func parent(t testing.TB, pid int) int {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	n, err := strconv.Atoi(string(fields[1]))
	if err != nil || n <= 1 {
		t.Fatalf("the parent of %d is %d, %v", pid, n, err)
	}
	return n
}

// capturing returns a bed whose steering is in force, and its helper.
func capturing(t testing.TB, c helper.Charter) (b *bed, pid int) {
	t.Helper()
	b = start(t, c)
	pid = b.diary.await(t, "open nft")
	if err := b.Apply(t.Context(), c.Steering); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "on")
	return b, pid
}

func (b *bed) awaitLost(t testing.TB, why string) {
	t.Helper()
	select {
	case <-b.Lost():
	case <-time.After(soon):
		t.Fatal("nobody says that the helper is gone")
	}
	if err := b.Err(); !errors.Is(err, helper.ErrLost) || !strings.Contains(err.Error(), why) {
		t.Errorf("lost by %v, want %q", err, why)
	}
	draining := charter().Steering
	draining.Draining = true
	if err := b.Apply(t.Context(), draining); err != nil {
		t.Errorf("stop the capturing, which has stopped: %v", err)
	}
	if err := b.Apply(t.Context(), charter().Steering); !errors.Is(err, helper.ErrLost) {
		t.Errorf("capture without a helper: %v", err)
	}
	if _, err := b.dial(t, upstream(lab.ClientAddr4+":0"), netip.MustParseAddrPort(lab.ServerAddr4+":80")); !errors.Is(err, helper.ErrLost) {
		t.Errorf("dial without a helper: %v", err)
	}
}

func TestHelperDies(t *testing.T) {
	b, pid := capturing(t, charter())
	b.divert(t)
	dst := b.origin(t, lab.ServerAddr4+":80")
	stop := make(chan struct{})
	var dialers sync.WaitGroup
	for range 4 {
		dialers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := b.dial(t, upstream(lab.ClientAddr4+":0"), dst)
				if err != nil {
					t.Errorf("while the helper dies: %v", err)
					return
				}
				if _, err := io.ReadAll(c); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		})
	}
	for range 3 {
		before := pid
		kill(t, pid)
		if pid = b.diary.await(t, "open nft"); pid == before {
			t.Error("the dead helper lives")
		}
		b.diary.await(t, "on")
	}
	close(stop)
	dialers.Wait()
	if b.Err() != nil {
		t.Error(b.Err())
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.diary.await(t, "off")
	b.diary.await(t, "cleanup")
	b.diary.nothing(t)
}

// TestHelperDiesTakingBack has the next helper, which has put nothing in force,
// take back what is.
func TestHelperDiesTakingBack(t *testing.T) {
	t.Setenv(mortalVariable, "1")
	b, _ := capturing(t, charter())
	if err := b.Apply(t.Context(), platform.Steering{}); err != nil {
		t.Error(err)
	}
	for _, what := range []string{"dies", "open nft", "off", "cleanup"} {
		b.diary.await(t, what)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.diary.nothing(t)
}

// TestHelperDiesTooOften also has the case that what is to be refused while nobody
// captures it stays so.
func TestHelperDiesTooOften(t *testing.T) {
	for name, closed := range map[string]bool{"open": false, "closed": true} {
		t.Run(name, func(t *testing.T) {
			c := charter()
			c.Steering.Closed = closed
			b, pid := capturing(t, c)
			b.tooOften(t, pid, "on")
			if !closed {
				b.diary.await(t, "draining")
				b.awaitLost(t, "died 4 times")
			} else {
				b.diary.await(t, "refusing")
				<-b.Lost()
			}
			b.takenBack(t)
		})
	}
}

// tooOften kills helpers until the watch gives up: four times, or more where they take so
// long to start that deaths are forgiven. Each of them was told first of all.
func (b *bed) tooOften(t *testing.T, pid int, first ...string) {
	t.Helper()
	watch, deaths := parent(t, pid), 0
	for pid != watch {
		kill(t, pid)
		deaths++
		if pid = b.diary.await(t, "open nft"); pid != watch {
			for _, what := range first {
				b.diary.await(t, what)
			}
		}
	}
	if deaths < 4 {
		t.Errorf("the watch gives up after %d deaths", deaths)
	}
}

// takenBack closes what is given up, and sees the watch take everything back.
func (b *bed) takenBack(t *testing.T) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.diary.await(t, "leave") // by who has tended what refuses, and is still open
	b.diary.nothing(t)
}

func TestWatchDies(t *testing.T) {
	b, pid := capturing(t, charter())
	kill(t, parent(t, pid))
	b.diary.await(t, "draining")
	b.awaitLost(t, "watch")
	second := func(within time.Duration) error {
		return b.Gateway.Do(func() error {
			held, err := helper.Lock(t.Context(), within, slog.New(slog.DiscardHandler))
			return errors.Join(err, held.Close())
		})
	}
	var running *helper.RunningError
	if err := second(0); !errors.As(err, &running) {
		t.Errorf("while the helper still steers: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.diary.await(t, "leave")
	b.diary.nothing(t)
	if err := second(soon); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// gateway is a proxy in a process of its own.
type gateway struct {
	*lab.Net
	*lab.Cmd
	diary  *diary
	helper int
	out    *bufio.Reader
	in     io.Closer
	errs   *testnet.Log
}

func startGateway(t *testing.T, n *lab.Net, d *diary) *gateway {
	t.Helper()
	g := &gateway{Net: n, diary: d, errs: &testnet.Log{}}
	g.Cmd = n.Gateway.Command(t.Context(), "/proc/self/exe", "helper", "proxy")
	g.Stderr = g.errs
	g.WaitDelay = soon // standard error ends with the watch
	out, err := g.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if g.in, err = g.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	g.out = bufio.NewReader(out)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := g.out.ReadString('\n'); line != "ready\n" {
		g.in.Close()
		_ = g.Wait()
		t.Fatalf("the proxy says %q, %v: %s", line, err, g.errs)
	}
	g.helper = d.await(t, "open nft")
	d.await(t, "on")
	return g
}

func TestProxyDies(t *testing.T) {
	for name, tt := range map[string]struct {
		kill func(*testing.T, *gateway)
		open bool // somebody else takes it back
	}{
		"killed":           {kill: func(t *testing.T, g *gateway) { kill(t, g.Process.Pid) }},
		"ended":            {kill: func(_ *testing.T, g *gateway) { g.in.Close() }},
		"helper-first":     {func(t *testing.T, g *gateway) { kill(t, g.helper); kill(t, g.Process.Pid) }, true},
		"helper-last":      {func(t *testing.T, g *gateway) { halt(t, g.helper); kill(t, g.Process.Pid); kill(t, g.helper) }, true},
		"helper-is-halted": {func(t *testing.T, g *gateway) { halt(t, g.helper); kill(t, g.Process.Pid) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			n, d := labtest.Gateway(t), newDiary(t)
			g := startGateway(t, n, d)
			tt.kill(t, g)
			// A helper that was started meanwhile may do it as well as the watch, or
			// may even have begun its work for a proxy that still lived, and one that
			// is killed last may have done it already.
			if tt.open {
				d.until(t, "leave", "open nft", "on")
			} else {
				d.await(t, "leave")
			}
			if rest, err := io.ReadAll(g.out); len(rest) > 0 || err != nil {
				t.Errorf("standard output goes on: %q, %v", rest, err)
			}
			_ = g.Wait()
			g = startGateway(t, n, d) // the lock is free, or soon
			g.in.Close()
			d.await(t, "leave")
			_ = g.Wait()
		})
	}
}

// TestDeathIsTold: who is left says what becomes of new connections, and what ends it.
func TestDeathIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		closed, want string
		helper       bool // dies as well
	}{
		"open":          {"", "nothing is captured any more", false},
		"open-by-watch": {"", "nothing is captured any more", true},
		"closed":        {"1", "transom cleanup", false},
		"closed-watch":  {"1", "transom cleanup", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(closedVariable, tt.closed)
			n, d := labtest.Gateway(t), newDiary(t)
			g := startGateway(t, n, d)
			if tt.helper {
				halt(t, g.helper)
			}
			kill(t, g.Process.Pid)
			if tt.helper {
				kill(t, g.helper)
			}
			_ = g.Wait()
			if said := g.errs.String(); strings.Count(said, "transom has ended") != 1 || !strings.Contains(said, tt.want) {
				t.Errorf("it is said: %s", said)
			}
		})
	}
}

func halt(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The signal is on its way to each thread: one may still answer.
	for deadline := time.Now().Add(soon); !halted(pid); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d does not stop", pid)
		}
	}
}

// halted reports whether all threads of a process have stopped.
func halted(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		return false
	}
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil || !bytes.Contains(b, []byte(") T ")) {
			return false
		}
	}
	return true
}

func TestProxyHangs(t *testing.T) {
	for name, tt := range map[string]struct{ closed, want string }{"open": {"", "draining"}, "closed": {"1", "refusing"}} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(patienceVariable, "100ms")
			t.Setenv(closedVariable, tt.closed)
			n, d := labtest.Gateway(t), newDiary(t)
			g := startGateway(t, n, d)
			halt(t, g.Process.Pid)
			d.await(t, tt.want)
			if err := syscall.Kill(g.Process.Pid, syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			d.await(t, "on")
			g.in.Close()
			d.until(t, "leave", tt.want, "on") // where others are busy it may seem to hang by itself
			_ = g.Wait()
		})
	}
}

// TestHelpersDieIdle: a watch that gives up changes nothing on a host that nothing
// was changed on.
func TestHelpersDieIdle(t *testing.T) {
	t.Setenv(cleanVariable, "1")
	b := start(t, charter())
	b.tooOften(t, b.diary.await(t, "open nft"))
	<-b.Lost()
	b.takenBack(t)
}

// TestNoAnswer has what may have been put in force taken back, all of it.
func TestNoAnswer(t *testing.T) {
	b := start(t, charter())
	pid := b.diary.await(t, "open nft")
	halt(t, pid)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := b.Apply(ctx, charter().Steering); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("apply without an answer: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b.diary.await(t, "on")
	b.diary.await(t, "off")
	b.diary.nothing(t)
}

func TestSecondOne(t *testing.T) {
	b, _ := capturing(t, charter())
	_, err := b.start(t, charter())
	var running *helper.RunningError
	if !errors.As(err, &running) || running.PID != os.Getpid() {
		t.Errorf("a second one: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.diary.await(t, "off")
	if _, err := b.start(t, charter()); err != nil {
		t.Errorf("after the first one: %v", err)
	}
}

// TestSignals: what a terminal or a service manager sends to everybody is for the
// proxy to decide, which is told of what may be meant for it alone.
func TestSignals(t *testing.T) {
	b, pid := capturing(t, charter())
	for _, p := range []int{pid, parent(t, pid)} {
		for _, s := range []syscall.Signal{unix.SIGHUP, unix.SIGQUIT, unix.SIGTERM, unix.SIGINT} {
			if err := syscall.Kill(p, s); err != nil {
				t.Fatal(err)
			}
			if s != unix.SIGTERM && s != unix.SIGINT {
				continue
			}
			select {
			case why := <-b.Ending():
				if want := fmt.Sprintf("process %d was told to (%s)", p, s); !strings.Contains(why, want) {
					t.Errorf("to end as %q, want %q", why, want)
				}
			case <-time.After(soon):
				t.Errorf("%v to process %d is not handed on", s, p)
			}
		}
	}
	if err := b.Apply(t.Context(), platform.Steering{}); err != nil {
		t.Fatal(err)
	}
	if got := b.diary.await(t, "off"); got != pid {
		t.Errorf("process %d, want %d", got, pid)
	}
}
