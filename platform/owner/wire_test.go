package owner

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transom/flow"
	"transom/platform"
)

func TestCgroupIn(t *testing.T) {
	docker := "/docker/" + strings.Repeat("0", 64)
	for text, want := range map[string]string{
		"":              "",
		"0::/\n":        "/",
		"0::/a b:c\n":   "/a b:c",
		"nothing\n::\n": "",
		"0::\n":         "",
		"4:memory:/x\n1:name=systemd:/system.slice/a.service\n0::/\n": "/system.slice/a.service",
		"4:memory:/x\n0::/\n": "/",
		"4:memory:" + docker + "\n1:name=systemd:/system.slice/a.service\n0::/\n": docker,
		"1:name=systemd:/a\n4:memory:" + docker + "\n":                            docker,
		"4:memory:" + docker + "\n0::/user.slice\n":                               "/user.slice",
	} {
		if got := cgroupIn(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzCgroupIn reads what /proc may never say.
func FuzzCgroupIn(f *testing.F) {
	f.Add("0::/\n")
	f.Add("4:memory:/x\n1:name=systemd:/a\n0::/b:c\n")
	f.Add("0::/a\n0::")
	f.Fuzz(func(t *testing.T, text string) {
		if got := cgroupIn(text); got != "" && (got[0] != '/' || !strings.Contains(text, got)) {
			t.Errorf("%q: %q", text, got)
		}
	})
}

var questions = []question{
	{client: netip.MustParseAddrPort("192.0.2.1:50000"), dst: netip.MustParseAddrPort("198.51.100.1:443")},
	{udp: true, client: netip.MustParseAddrPort("[fe80::1%eth0]:50000"), dst: netip.MustParseAddrPort("[2001:db8::1]:53")},
}

func TestQuestions(t *testing.T) {
	var b []byte
	for i := range questions {
		b = questions[i].append(b)
	}
	got, err := parseQuestions(b)
	if err != nil || len(got) != 2 || got[0] != questions[0] || got[1] != questions[1] {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzQuestions(f *testing.F) {
	f.Add([]byte{})
	f.Add(questions[0].append(nil))
	f.Add(questions[1].append(questions[0].append(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		qs, err := parseQuestions(b)
		if err != nil {
			return
		}
		var again []byte
		for i := range qs {
			again = qs[i].append(again)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	a := answer{index: 1, known: known, process: flow.Process{PID: 1, UID: 2, Name: "a\n", Path: "/b", User: "c", Cgroup: "/d"}}
	f.Add([]byte{})
	f.Add(a.append(nil))
	f.Add(append((&answer{}).append(nil), 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnswer(b)
		if err == nil && !bytes.Equal(a.append(nil), b) {
			t.Errorf("%x became %x", b, a.append(nil))
		}
	})
}

// TestAnswerIsBounded has everything too long.
func TestAnswerIsBounded(t *testing.T) {
	long := strings.Repeat("x", 2*textMost)
	a := answer{process: flow.Process{Name: long, Path: long, User: long, Cgroup: long}}
	b := a.append(nil)
	if got, err := parseAnswer(b); err != nil || len(b) > answerMost || len(got.process.Path) != textMost {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestCharter(t *testing.T) {
	c := Charter{TCP: []platform.PortRange{{First: 443, Last: 443}}, UDP: []platform.PortRange{{First: 50, Last: 60}}}
	for i, q := range questions {
		if !c.allows(&q) {
			t.Errorf("question %d is refused", i)
		}
		q.udp = !q.udp
		if c.allows(&q) {
			t.Errorf("question %d of the other network is allowed", i)
		}
	}
}

// TestBudget spends time.
func TestBudget(t *testing.T) {
	now := time.Unix(1, 0)
	b := budget{lookMost, now}
	b.left -= lookMost + time.Second // a second too much
	now = now.Add(lookShare * time.Second / 2)
	if b.grow(now); b.left != -time.Second/2 {
		t.Errorf("then %v", b.left)
	}
	now = now.Add(time.Hour)
	if b.grow(now); b.left != lookMost {
		t.Errorf("an hour later %v", b.left)
	}
}

// TestRest: whoever owes much rests until it is little.
func TestRest(t *testing.T) {
	now := time.Unix(1, 0)
	for left, want := range map[time.Duration]time.Duration{
		lookMost: 0, 0: 0, -lookMost / 2: 0, -lookMost/2 - time.Second: lookShare * time.Second,
	} {
		b := budget{left, now}
		rest := b.rest()
		if b.grow(now.Add(rest)); rest != want || b.rest() != 0 {
			t.Errorf("with %v left it rests for %v, want %v, and then for %v", left, rest, want, b.rest())
		}
	}
}
