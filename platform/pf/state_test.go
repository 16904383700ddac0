package pf

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// states reads what pfctl -s state has printed.
func states(t *testing.T, system string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + system + ".states")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFind is the truth table of what is printed. The cases that begin with "bug"
// are what mitmproxy's lookup gets wrong.
func TestFind(t *testing.T) {
	tests := map[string]struct {
		system, client, local string
		want                  string // "" is no state
	}{
		"macos":                       {"macos", "192.168.1.111:40000", "127.0.0.1:8080", "198.51.100.5:80"},
		"macos-mapped":                {"macos", "[::ffff:192.168.1.111]:40000", "[::ffff:127.0.0.1]:8080", "198.51.100.5:80"},
		"macos-other-client":          {"macos", "192.168.1.112:40000", "127.0.0.1:8080", ""},
		"macos-other-port":            {"macos", "192.168.1.111:40003", "127.0.0.1:8080", ""},
		"macos-other-listener":        {"macos", "192.168.1.111:40000", "127.0.0.1:8081", ""},
		"macos-over":                  {"macos", "192.168.1.111:40001", "127.0.0.1:8080", ""},
		"macos-v6":                    {"macos", "[2001:db8:1::f3db]:40002", "[::1]:8080", "[2001:db8:face::167]:443"},
		"macos-v6-other":              {"macos", "[2001:db8:1::f3db]:40003", "[::1]:8080", ""},
		"macos-not-redirected":        {"macos", "192.168.1.111:41000", "192.168.1.1:8080", "192.168.1.1:8080"},
		"macos-half-closed":           {"macos", "192.168.1.111:40007", "127.0.0.1:8080", "198.51.100.5:80"},
		"freebsd":                     {"freebsd", "192.168.1.111:40000", "127.0.0.1:8080", "198.51.100.5:80"},
		"freebsd-not-redirected":      {"freebsd", "192.168.1.111:41000", "192.168.1.1:8080", "192.168.1.1:8080"},
		"openbsd":                     {"openbsd", "192.168.1.111:40000", "127.0.0.1:8080", "198.51.100.5:80"},
		"openbsd-v6":                  {"openbsd", "[2001:db8:1::f3db]:40002", "[::1]:8080", "[2001:db8:face::167]:443"},
		"bug-1-part-of-an-address":    {"macos", "92.168.1.111:40000", "127.0.0.1:8080", ""},
		"bug-1-part-of-a-port":        {"macos", "192.168.1.111:4000", "127.0.0.1:8080", ""},
		"bug-1-another-destination":   {"macos", "198.51.100.5:80", "127.0.0.1:8080", ""},
		"bug-2-nat-on-the-way-out":    {"macos", "192.168.1.111:40004", "203.0.113.9:80", ""},
		"bug-2-nat-in-parentheses":    {"freebsd", "192.168.1.111:40004", "203.0.113.9:80", ""},
		"bug-3-syn-race":              {"macos", "192.168.1.111:40005", "127.0.0.1:8080", "198.51.100.5:80"},
		"bug-3-syn-race-freebsd":      {"freebsd", "192.168.1.111:40005", "127.0.0.1:8080", "198.51.100.5:80"},
		"bug-4-scoped":                {"macos", "[fe80::2%en0]:40006", "[fe80::1%en0]:8080", "[2001:db8:face::167]:443"},
		"bug-4-scoped-by-number":      {"macos", "[fe80::3%en0]:40006", "[fe80::1%en0]:8080", "[2001:db8:face::167]:443"},
		"bug-5-freebsd-v6":            {"freebsd", "[2001:db8:1::f3db]:40002", "[::1]:8080", "[2001:db8:face::167]:443"},
		"bug-6-freebsd-outward-first": {"freebsd", "192.168.1.120:40000", "127.0.0.1:8080", "198.51.100.5:443"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Find(strings.NewReader(states(t, tt.system)), ap(tt.client), ap(tt.local))
			switch {
			case tt.want == "" && !errors.Is(err, ErrNoState):
				t.Errorf("%v, %v; want no state", got, err)
			case tt.want != "" && (err != nil || got != ap(tt.want)):
				t.Errorf("%v, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestFindRefusesToChoose(t *testing.T) {
	text := "ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:4000 ESTABLISHED:ESTABLISHED\n"
	client, local := ap("10.0.0.2:4000"), ap("127.0.0.1:8080")
	if got, err := Find(strings.NewReader(text+text), client, local); err != nil || got != ap("192.0.2.1:80") {
		t.Errorf("the same twice: %v, %v", got, err)
	}
	other := strings.Replace(text, "192.0.2.1:80", "192.0.2.2:80", 1)
	if got, err := Find(strings.NewReader(text+other), client, local); err == nil || errors.Is(err, ErrNoState) {
		t.Errorf("two destinations: %v, %v", got, err)
	}
}

func TestParseStateIsStrict(t *testing.T) {
	for _, line := range []string{
		"",
		"No ALTQ support in kernel",
		"ALL udp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:4000 MULTIPLE:MULTIPLE",
		"ALL tcp 10.0.0.2:4000 -> 192.0.2.1:80 ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:4000 ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:4000 ESTABLISHED:BEWARE",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:4000 PROXY:DST",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 -> 10.0.0.2:4000 ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:4000 more ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:04000x ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- 10.0.0.2:70000 ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 192.0.2.1:80 <- [::1]:4000 ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 <- 2001:db8::1[80] <- 10.0.0.2:4000 ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1[8080] <- 10.0.0.2:4000 ESTABLISHED:ESTABLISHED",
		"ALL tcp ::1:8080 <- ::2:4000 ESTABLISHED:ESTABLISHED",
		"ALL tcp 127.0.0.1:8080 192.0.2.1:80 <- 10.0.0.2:4000 ESTABLISHED:ESTABLISHED",
		"all tcp 127.0.0.1:8080 () <- 10.0.0.2:4000 ESTABLISHED:ESTABLISHED",
	} {
		if s, ok := ParseState(line); ok {
			t.Errorf("%q is taken for %v", line, s)
		}
	}
}

func FuzzParseState(f *testing.F) {
	for _, system := range []string{"macos", "freebsd", "openbsd"} {
		text, err := os.ReadFile("testdata/" + system + ".states")
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, ok := ParseState(line)
		if !ok {
			return
		}
		for _, a := range []netip.AddrPort{s.Local, s.Original, s.Client} {
			if !a.IsValid() || a.Port() == 0 {
				t.Fatalf("%q: %v", line, s)
			}
		}
		if again, ok := ParseState(s.String()); !ok || again != s {
			t.Fatalf("%q is %v, and that is written %q", line, s, s.String())
		}
	})
}
