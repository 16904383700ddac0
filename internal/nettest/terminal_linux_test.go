package nettest_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform/lab"
)

// newTerminal makes one: its front, which a person sits at, and what programs have.
func newTerminal(t *testing.T) (front, tty *os.File) {
	t.Helper()
	front, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := front.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if e := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); e != nil || err != nil {
		t.Fatal(e, err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return front, tty
}

// terminal makes one of which what is written to it goes to out until it is lost.
func terminal(t *testing.T, out *output) (tty *os.File, lose func()) {
	t.Helper()
	front, tty := newTerminal(t)
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(out, front) }) // ends with the terminal, by an error
	lose = sync.OnceFunc(func() { front.Close(); reading.Wait() })
	t.Cleanup(lose)
	return tty, lose
}

// TestTerminalLost takes the terminal away while a response is under way: that may
// finish, and is recorded. What can't be said any more holds nobody up.
func TestTerminalLost(t *testing.T) {
	for name, sent := range map[string][]syscall.Signal{
		"once":     nil,
		"more":     {syscall.SIGHUP, syscall.SIGHUP},
		"with-end": {syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.slow()
			w.redirect("80")
			cmd := w.command(w.Gateway, "transom", "listen", "--mode", "transparent", "--json", "-o", w.path("flows"), "-v")
			out := newOutput()
			tty, lose := terminal(t, out)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			tty.Close()
			p := &transom{t: t, cmd: cmd, out: newOutput(), log: out}
			out.wait(t, func(s string) bool { return strings.Contains(s, "signing for servers") })
			resp, first := w.halfway(w.browser(w.read(w.authority.file)), "http://"+shop+"/", s)
			lose()
			for _, sig := range sent {
				w.refused()
				p.signal(sig)
				p.taken(sig)
			}
			w.refused()
			close(s.goOn)
			rest, err := io.ReadAll(resp.Body)
			if got := first + string(rest); err != nil || got != "half whole" {
				t.Errorf("got %q, %v", got, err)
			}
			p.wait(0)
			flows := 0
			for _, r := range parse(t, w.read(w.path("flows"))) {
				if r.Type == "http" && r.Event == "end" && r.Error == "" && r.Response.Body.Size == 10 {
					flows++
				}
			}
			if flows != 1 {
				t.Errorf("%d flows were recorded as they went", flows)
			}
		})
	}
}

// taken waits until a thread of the proxy has taken a signal. The one that is meant to may
// have no processor, while others come to the end, where a signal has its usual meaning.
func (p *transom) taken(sig syscall.Signal) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%v to be taken", sig), func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
		_, rest, found := strings.Cut(string(b), "\nShdPnd:\t")
		var pending uint64
		if _, e := fmt.Sscanf(rest, "%x", &pending); err != nil || !found || e != nil {
			p.t.Fatalf("pending signals: %v, %q", err, b)
		}
		return pending>>(sig-1)&1 == 0
	})
}

// TestNoHangup has a proxy that was started to outlive its terminal go on.
func TestNoHangup(t *testing.T) {
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80")
	p := w.start(w.command(w.Gateway, "nohup", find("transom"), "listen", "--mode", "transparent", "--json"))
	p.signal(syscall.SIGHUP)
	c := w.dial(lab.ServerAddr4 + ":80")
	_ = c.SetDeadline(time.Now().Add(patience)) // fails if it is closed, and then so does what follows
	io.WriteString(c, plainGet)
	if _, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK\r\n"))); err != nil {
		t.Error(err)
	}
	c.Close()
	p.stop()
}
