package sandbox_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"transom/internal/testnet"
	"transom/platform/sandbox"
)

func itoa(n int) string { return strconv.Itoa(n) }

// needRoot skips if this process can't become another user.
func needRoot(t testing.TB) {
	t.Helper()
	held, err := sandbox.Held()
	if err != nil {
		t.Fatal(err)
	}
	_, why := sandbox.Within(nobody(t))
	testnet.Need(t, why == "" && held.Has(sandbox.NetRaw), "root, with another user to become")
}

// A kept is what a process reports that has kept some of its rights.
type kept struct {
	Error                   string
	Threads, Child, Ambient []thread // Child's is of a program it started, Ambient's of one it gave a capability
}

func keepRaw() any { return keep(sandbox.Keep) }

func keepAcross() any { return keep(sandbox.KeepAcross) }

func keep(how func(...sandbox.Cap) error) (k kept) {
	defer crowd()()
	if err := how(sandbox.NetRaw, sandbox.NetAdmin); err != nil {
		return kept{Error: err.Error()}
	}
	k.Threads = rights()
	plain := exec.Command("/bin/cat", "/proc/self/status")
	given := exec.Command("/bin/cat", "/proc/self/status")
	given.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: []uintptr{uintptr(sandbox.NetRaw)}}
	k.Child, k.Ambient = parse(string(must(plain.Output()))), parse(string(must(given.Output())))
	return k
}

func parse(status string) []thread {
	t := thread{}
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		t[key] = strings.Join(strings.Fields(value), " ")
	}
	return []thread{t}
}

func TestKeep(t *testing.T) {
	const both, raw, no = "0000000000003000", "0000000000002000", "0000000000000000"
	want := thread{"CapPrm": both, "CapEff": both, "CapInh": no, "CapAmb": no, "NoNewPrivs": "1"}
	tests := map[string]struct {
		child         string
		prepare       func(testing.TB, *exec.Cmd)
		want          thread
		plain, raised string // CapPrm of children
	}{
		"root": {"keep", func(t testing.TB, _ *exec.Cmd) { needRoot(t) }, with(thread{"CapBnd": both}, want), no, raw},
		"root-across": {
			"across", func(t testing.TB, _ *exec.Cmd) { needRoot(t) },
			with(thread{"CapBnd": both, "CapInh": both, "CapAmb": both}, thread{"CapPrm": both, "NoNewPrivs": "1"}), both, both,
		},
		"ambient":             {"keep", func(t testing.TB, cmd *exec.Cmd) { asNobody(t, cmd, sandbox.NetAdmin, sandbox.NetRaw, 10) }, want, no, raw},
		"file-only-permits":   {"keep", func(t testing.TB, cmd *exec.Cmd) { byFile(t, cmd, false) }, want, no, raw},
		"root-of-a-namespace": {"keep", asLonelyRoot, with(thread{"CapBnd": both}, want), no, raw},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := child(tt.child)
			tt.prepare(t, cmd)
			got := run[kept](t, cmd)
			if got.Error != "" {
				t.Fatal(got.Error)
			}
			check(t, got.Threads, tt.want)
			if c := got.Child[0]["CapPrm"]; c != tt.plain {
				t.Errorf("a program it starts has %s, want %s", c, tt.plain)
			}
			if c := got.Ambient[0]["CapPrm"]; c != tt.raised {
				t.Errorf("a program it gives a capability has %s, want %s", c, tt.raised)
			}
		})
	}
}

func TestKeepSaysWhatIsLacking(t *testing.T) {
	cmd := child("keep")
	asNobody(t, cmd, sandbox.NetRaw)
	if got := run[kept](t, cmd); !strings.Contains(got.Error, "no cap_net_admin") {
		t.Errorf("%q", got.Error)
	}
}

func TestHeld(t *testing.T) {
	held, err := sandbox.Held()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	want, err := strconv.ParseUint(parse(string(b))[0]["CapPrm"], 16, 64)
	if err != nil || uint64(held) != want {
		t.Errorf("%x, want %x, %v", uint64(held), want, err)
	}
}
