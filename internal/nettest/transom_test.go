package nettest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// A transom is a running proxy.
type transom struct {
	t        *testing.T
	cmd      *lab.Cmd
	out, log *output
	ended    bool
}

// transom starts the proxy on the gateway, as "transom listen --mode
// transparent" with args, and waits until it listens. It trusts this world's
// authority. It must end well by the end of the test at the latest.
func (w *world) transom(args ...string) *transom {
	w.t.Helper()
	args = append([]string{"listen", "--mode", "transparent", "--upstream-ca", w.authority.file}, args...)
	return w.start(w.command(w.Gateway, "transom", args...))
}

// start starts a program that is, or becomes, the proxy.
func (w *world) start(cmd *lab.Cmd) *transom {
	w.t.Helper()
	p := &transom{t: w.t, cmd: cmd, out: newOutput(), log: newOutput()}
	cmd.Stdout, cmd.Stderr = p.out, p.log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if !p.ended {
			p.stop()
		}
		if w.t.Failed() {
			w.t.Logf("the proxy printed:\n%s\nand logged:\n%s", p.out.short(), p.log.short())
		}
		for _, bad := range []string{"panic", "internal error", "transom: error: "} {
			if strings.Contains(p.log.String(), bad) {
				w.t.Errorf("logged %q", bad)
			}
		}
	})
	// The log line is the last it says when it starts.
	eventually(w.t, "the proxy to listen", func() bool {
		return p.gone() || p.listens() && strings.Contains(p.log.String(), "signing for servers")
	})
	if p.gone() {
		w.t.Fatal("the proxy has ended")
	}
	return p
}

// listens reports whether something on the proxy's host listens on port 8080.
// It looks at the kernel's list: a connection would be recorded.
func (p *transom) listens() bool {
	for _, list := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", p.cmd.Process.Pid, list))
		if err == nil && regexp.MustCompile(`(?m)^ *\d+: [0-9A-F]+:1F90 [0-9A-F]+:0000 0A `).Match(b) {
			return true
		}
	}
	return false
}

func (p *transom) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(p.pid(), s); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Error(err)
	}
}

// pid is the proxy's, also if a shell runs it.
func (p *transom) pid() int {
	pid := p.cmd.Process.Pid
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(name) == "transom\n" {
		return pid
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if child, convErr := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && convErr == nil {
		return child
	}
	return pid
}

// wait waits for the proxy to end with an exit code.
func (p *transom) wait(code int) {
	p.t.Helper()
	p.ended = true
	err := p.cmd.Wait()
	if got := exitCode(err); got != code {
		p.t.Errorf("the proxy ended with %d (%v), want %d", got, err, code)
	}
	p.out.close()
	p.log.close()
}

// gone reports whether the proxy has ended, though it may not have been waited for.
// While another thread than the first execs, as in the launcher, the first is a zombie
// and the process goes on (de_thread in fs/exec.c): it has two threads then.
func (p *transom) gone() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	return err != nil || regexp.MustCompile(`\) [ZX] (\S+ ){16}[01] `).Match(b)
}

// stop lets the proxy end in order, so that all is printed that it has to say.
func (p *transom) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.wait(0)
}

// exitCode returns the exit code behind the error of a command, -1 if there is
// none.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// records returns what was printed as JSON so far.
func (p *transom) records() []record {
	p.t.Helper()
	return parse(p.t, p.out.String())
}

// await waits until as many records were printed as want.
func (p *transom) await(n int, want func(record) bool) []record {
	p.t.Helper()
	var got []record
	p.out.wait(p.t, func(string) bool {
		got = slices.DeleteFunc(p.records(), func(r record) bool { return !want(r) })
		return len(got) >= n
	})
	if len(got) != n {
		p.t.Fatalf("%d records, want %d; printed:\n%s", len(got), n, p.out)
	}
	return got
}

// of returns a condition for await.
func of(kind string) func(record) bool { return func(r record) bool { return r.Type == kind } }

// parse reads lines of JSON; each must begin with its type.
func parse(t *testing.T, text string) (rs []record) {
	t.Helper()
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // not all of it is there yet
		}
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		if !strings.HasPrefix(line, `{"type":"`+r.Type+`",`) || r.Type == "" {
			t.Fatalf("the type is not first in %q", line)
		}
		rs = append(rs, r)
	}
	return rs
}

// A record is what --json prints, as far as these tests look at it.
type record struct {
	Type, Event, ID, Conn, Start string
	Duration                     int64
	Capture                      string
	Client                       struct {
		Addr    string
		Process *process
		MAC     string
		Name    string
		NamedBy string `json:"named_by"`
	}
	Server  struct{ Dst, Host, From, SNI, Error string }
	TLS     *struct{ Client, Server *leg }
	Request struct {
		Method, URL, HTTP string
		Headers           [][2]string
		Body              struct{ Size, Kept int64 }
	}
	Response struct {
		Status  int
		HTTP    string
		Headers [][2]string
		Body    struct {
			Size, Kept int64
			Truncated  bool
		}
	}
	Messages struct {
		ToServer counted `json:"to_server"`
		ToClient counted `json:"to_client"`
	}
	Action, Reason   string
	Close            struct{ Client, Server string }
	Error            string
	Handshake        string
	Part, From, Text string // of data
	Op, Base64       string
	Code             int
	SSE              struct{ Event, Data, ID string }
}

type leg struct {
	Version, ALPN, SNI string
	VerifyError        string `json:"verify_error"`
	Resumed            bool
}

type process struct {
	PID, UID                                  int
	Name, Path, User, Cgroup, Container, Unit string
}

type counted struct{ Count, Bytes int64 }

// An output is what a program writes, to be looked at while it does.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed at each change
	closed  bool
	held    chan struct{} // nothing is taken until it is closed; nil is not held
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// hold stops reading what the program writes, from the next piece on, until
// release is called.
func (o *output) hold() (release func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = make(chan struct{})
	return sync.OnceFunc(func() { close(o.held) })
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	held := o.held
	o.mu.Unlock()
	if held != nil {
		<-held
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(p), nil
}

// close says that no more will come.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		close(o.changed)
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// short is for messages.
func (o *output) short() string {
	s := o.String()
	if len(s) > 8000 {
		return s[:4000] + "\n...\n" + s[len(s)-4000:]
	}
	return s
}

// lines counts lines.
func (o *output) lines() int { return strings.Count(o.String(), "\n") }

// wait waits until what was written is as ok wants it, or the program ends, or
// the time is up. It reports whether it is.
func (o *output) wait(t *testing.T, ok func(string) bool) bool {
	t.Helper()
	timeout := timer(t)
	for {
		o.mu.Lock()
		text, changed, closed := o.b.String(), o.changed, o.closed
		o.mu.Unlock()
		if ok(text) {
			return true
		}
		if closed {
			return false
		}
		select {
		case <-changed:
		case <-timeout:
			return false
		}
	}
}
