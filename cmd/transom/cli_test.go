package main

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"transom/capture"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestCommandLine runs command lines that start nothing, and holds what they
// say to testdata/cli.txt.
func TestCommandLine(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	lines := [][]string{
		{},
		{"version", "x"},
		{"help", "nonsense"},
		{"help", "ca", "nonsense"},
		{"help", "version"},
		{"help", "steer", "show", "x"},
		{"completion"},
		{"completion", "csh"},
		{"nonsense"},
		{"listen", "-w", "/nonexistent/x", "--hardump", "/nonexistent/x"},
		{"listen", "--store", "/nonexistent/x", "--store-age", "30"},
		{"flows"},
		{"flows", "list", "--store", "/dev/null"},
		{"flows", "list", "--store", "/nonexistent"},
		{"flows", "list", "-r", "/nonexistent"},
		{"flows", "list", "-r", "/dev/null", "--pid", "1"},
		{"flows", "list", "-r", "/dev/null", "--sort", "colour"},
		{"flows", "list", "-r", "/dev/null", "--after", "x"},
		{"flows", "list", "-r", "/dev/null", "-f", "~u (a"},
		{"flows", "list", "-r", "/dev/null", "--flow-detail", "0"},
		{"flows", "list", "-r", "/dev/null"},
		{"flows", "show", "-r", "/dev/null"},
		{"flows", "show", "-r", "/dev/null", "abc"},
		{"flows", "show", "-r", "/dev/null", "0123abcd"},
		{"flows", "show", "-r", "/dev/null", "--proto", "/does/not/exist", "0123abcd"},
		{"flows", "show", "-r", "/dev/null", "--proto", "testdata/broken.proto", "0123abcd"},
		{"flows", "show", "-r", "/dev/null", "--proto", "testdata/shop.proto", "--json", "0123abcd"},
		{"flows", "list", "-r", "/dev/null", "--proto", "testdata/shop.proto"},
		{"flows", "export", "-r", "/dev/null"},
		{"flows", "export", "-r", "/dev/null", "-o", "flows.txt"},
		{"flows", "export", "-r", "/dev/null", "--format", "xml"},
		{"flows", "export", "-r", "/dev/null", "--flow-format", "3"},
		{"flows", "import"},
		{"flows", "import", "x.mitm"},
		{"flows", "stats", "-r", "/dev/null"},
		{"flows", "prune", "-r", "/dev/null"},
		{"flows", "prune", "-r", "/dev/null", "-f", "~all"},
		{"flows", "prune", "-r", "/dev/null", "--older-than", "5"},
		{"ca"},
		{"ca", "export", "--format", "png"},
		{"ca", "trust", "everybody"},
		{"ca", "trust", "--store", "windows"},
		{"ca", "check", "--store", "system,"},
		{"ca", "check", "--store", ""},
		{"ca", "show", "--ca-dir", ""},
		{"listen", "~extra"},
		{"listen", "--filter", "~d a", "~d b"},
		{"listen", "--filter", ""},
		{"listen", "-q", "~all"},
		{"run", "--filter", "~u (a", "true"},
		{"listen", "--nonsense"},
		{"listen", "--mode", "socks5"},
		{"listen", "--mode", "regular"},
		{"listen", "--mode", "transparent@"},
		{"listen", "--mode", "transparent@::1:80"},
		{"listen", "--mode", "transparent@host:80"},
		{"listen", "--mode", "transparent@70000"},
		{"listen", "-T", "-p", "banana"},
		{"listen", "-T", "--ignore-hosts", "a(b"},
		{"listen", "-T", "--ignore-hosts", ""},
		{"listen", "--mode", ""},
		{"listen", "--listen-host", ""},
		{"listen", "--listen-host", "lan0"},
		{"listen", "--tcp-timeout", "1m"},
		{"listen", "--ca-dir", ""},
		{"listen", "--keylog", ""},
		{"listen", "--user", ""},
		{"listen", "-o", ""},
		{"listen", "-T", "--flow-detail", "7"},
		{"listen", "-T", "--on-upstream-tls-failure", "shrug"},
		{"listen", "-T", "--tls-mimic", "client"},
		{"listen", "-T", "--tls-mimic", "curl"},
		{"listen", "-T", "--upstream-ca", "/does/not/exist"},
		{"listen", "-T", "--store-max", "lots"},
		{"listen", "-T", "--store-max", "0"},
		{"listen", "--store-max", "1m", "--body-limit", "2m"},
		{"listen", "--store", "d", "--store-max", "1m"},
		{"listen", "--store", "none", "--store-max", "1m"},
		{"listen", "--store-age", "3d"},
		{"listen", "--store", "d", "--store-age", "3y"},
		{"listen", "--store", "d", "--store-count", "-1"},
		{"listen", "--lossless"},
		{"listen", "--store", "d", "--store-key", "/does/not/exist/k"},
		{"listen", "--store-max", "512k", "-o", "/does/not/exist/f"},
		{"listen", "-q", "--json"},
		{"listen", "-q", "--proto", "testdata/shop.proto"},
		{"listen", "--proto", "testdata/shop.proto"},
		{"listen", "--flow-detail", "3", "--proto", "testdata/broken.proto"},
		{"listen", "-o", "+"},
		{"listen", "-q", "-o", "f"},
		{"listen", "--hardump", "+f"},
		{"listen", "--hardump", "f%Q"},
		{"listen", "--pcap", "-"},
		{"listen", "-q", "--pcap", "-", "--hardump", "-"},
		{"listen", "-q", "--redact", "secrets"},
		{"listen", "--flow-detail", "0", "--redact", "secrets"},
		{"flows", "list", "-r", "/dev/null", "--redact", "cookies"},
		{"listen", "--pcap", "f", "--redact", "cookies"},
		{"listen", "-w", "x.har"},
		{"listen", "-w", "+x-%Y.PCAPNG.zst"},
		{"listen", "-w", "x.jsonl"},
		{"listen", "--hardump", "x.mitm"},
		{"listen", "--pcap", "x.zhar"},
		{"listen", "-o", "x.json"},
		{"listen", "-o", "+x.flow", "--json"},
		{"listen", "-o", "x.json.gz", "--json"},
		{"listen", "--log-format", "json"},
		{"listen", "--grace", "-1s"},
		{"listen", "--grace", "soon"},
		{"listen", "-p", "99999"},
		{"listen", "-m", "transparent", "-m", "transparent@127.0.0.1:8080"},
		{"listen", "-T", "-o", "/does/not/exist/f"},
		{"listen", "-T", "-w", "/dev/null/f"},
		{"listen", "-w", "-"},
		{"listen", "-w", "+"},
		{"listen", "-w", "%Q"},
		{"listen", "-w", "f", "--flow-format", "11"},
		{"listen", "--flow-format", "17"},
		{"listen", "-T", "--keylog", "/does/not/exist/f"},
		{"listen", "--spoof-source", "theirs"},
		{"listen", "--spoof-source", "ip+port", "--spoof-source-address"},
		{"run", "nonexistent-program"},
		{"run", ""},
		{"run", "cd", "/"},
		{"run", "--quic", "intercept", "true"},
		{"run", "--spoof-source", "ip", "true"},
		{"run", "--user", "nobody", "true"},
		{"gateway", "~d a &", "~u [b"},
		{"gateway", "--from", "192.168.1.5/24"},
		{"gateway", "--from", "lan"},
		{"gateway", "--exclude", "fe80::1%eth0"},
		{"gateway", "--ports", "443-80"},
		{"gateway", "--ports", "http"},
		{"gateway", "--ports", "0"},
		{"gateway", "--method", "magic"},
		{"gateway", "--backend", "pf"},
		{"gateway", "--quic", "intercept"},
		{"gateway", "--quic", "maybe"},
		{"gateway", "--udp-ports", "domain"},
		{"gateway", "--udp-ports", "53,443"},
		{"gateway", "--udp-ports", "53", "--method", "redirect"},
		{"gateway", "--udp-ports", "53", "--interface", "none", "--local"},
		{"gateway", "--on-dead", "maybe"},
		{"gateway", "--mark", "0x50"},
		{"gateway", "--mark", "blue"},
		{"gateway", "-p", "0"},
		{"gateway", "-p", "99999"},
		{"gateway", "--interface", ""},
		{"gateway", "--interface", "", "--interface", "lan0"},
		{"gateway", "--interface", "lan0,"},
		{"gateway", "--from", ""},
		{"gateway", "--exclude", ""},
		{"gateway", "--ports", ""},
		{"gateway", "--udp-ports", ""},
		{"gateway", "--spoof-source", ""},
		{"gateway", "--local=perhaps"},
		{"gateway", "--from"},
		{"gateway", "-p"},
		{"gateway", "-vz"},
		{"gateway", "-from=10.0.0.0/8"},
		{"gateway", "--=x"},
		{"run", "-o", "", "true"},
		{"gateway", "--interface", "none"},
		{"gateway", "--interface", "none,lan0", "--local"},
		{"gateway", "--from", "10.1.0.0/16", "--from", "fd01::1", "--exclude", "10.0.0.0/8,fd00::/8"},
		{"gateway", "--spoof-source", "127.0.0.1"},
		{"steer"},
		{"steer", "show", "--format", "pf"},
		{"steer", "show", "--local", "--format", "ipfw"},
		{"steer", "show", "--format", "ebpf"},
		{"gateway", "--interface", "none", "--local", "--from", "fd00::/8"},
		{"gateway", "--interface", "none", "--local", "--method", "tproxy"},
		{"gateway", "--interface", "none", "--local", "--spoof-source", "ip"},
		{"steer", "show", "--interface", "none"},
		{"steer", "show", "--interface", "none", "--local", "--spoof-source-address"},
		{"steer", "show", "--interface", "lan0", "--format", "ebpf"},
		{"steer", "show", "--interface", "lan0; reboot"},
		{"cleanup", "all"},
		{"helper"},
	}
	var all bytes.Buffer
	for _, args := range lines {
		var out, errs bytes.Buffer
		code := run(t.Context(), args, nil, &out, &errs)
		all.WriteString("$ " + strings.Join(append([]string{"transom"}, args...), " ") + "\n")
		all.Write(out.Bytes())
		all.Write(errs.Bytes())
		fmt.Fprintf(&all, "exit %d\n\n", code)
	}
	golden(t, "cli.txt", all.Bytes())
}

// TestHelp holds the help texts to testdata/help.txt: they are promises.
func TestHelp(t *testing.T) {
	var all bytes.Buffer
	for _, args := range [][]string{{"gateway"}, {"run"}, {"listen"}, {"steer", "show"}, {"cleanup"}, {"demo"}, {"ca", "show"}, {"ca", "export"}, {"ca", "trust"}, {"ca", "untrust"}, {"ca", "check"}} {
		all.WriteString("$ transom " + strings.Join(args, " ") + " --help\n")
		if code := run(t.Context(), append(args, "--help"), nil, &all, &all); code != 0 {
			t.Errorf("%v: exit %d", args, code)
		}
		all.WriteString("\n")
	}
	golden(t, "help.txt", all.Bytes())
}

// TestOptionValues looks at each option of each command: one that takes a value says in
// its help what that is, and not of which type our variable is.
func TestOptionValues(t *testing.T) {
	ours := regexp.MustCompile(`^([A-Z]+|go|[\w+]+(\|[\w+]+)+)$`)
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.InitDefaultHelpFlag()
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(f)
			if takes := f.NoOptDefVal == ""; takes && !ours.MatchString(value) || !takes && value != "" {
				t.Errorf("%s: --%s %s  %s", cmd.CommandPath(), f.Name, value, usage)
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(rootCommand())
}

func TestList(t *testing.T) {
	for text, want := range map[string][]string{"a": {"a"}, "a,b": {"a", "b"}, " a , b": {"a", "b"}, "": nil, ",": nil, "a,,b": nil, " ": nil} {
		var l listFlag
		if err := l.Set(text); (err == nil) != (want != nil) || err == nil && !slices.Equal(l, want) {
			t.Errorf("%q is %q, %v", text, l, err)
		}
	}
}

// TestHelpInTerminal: where lines have an end, each option has its text below it.
func TestHelpInTerminal(t *testing.T) {
	for _, columns := range []int{1, 40, 80, 300} {
		root := rootCommand()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs([]string{"steer", "show", "--help"})
		root.SetUsageFunc(usageWithin(columns))
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		_, flags, _ := strings.Cut(out.String(), "\nFlags:\n")
		for line := range strings.Lines(flags) {
			if n := len(line) - 1; n > max(min(columns, maxColumns), 55) {
				t.Errorf("%d columns, and one of %d: %s", columns, n, line)
			}
		}
		for _, want := range []string{"  -f, --format auto|nft|iptables|pf|ipfw\n          for which tool: ", "      --local\n          capture ", "(default 0x70)\n"} {
			if columns > 40 && !strings.Contains(flags, want) {
				t.Errorf("%d columns: there is no %q in\n%s", columns, want, flags)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{arg}, nil, &out, &errs); code != 0 || out.String() != "transom "+buildVersion()+"\n" || errs.Len() > 0 {
			t.Errorf("%s: exit %d, %q, %q", arg, code, &out, &errs)
		}
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("%s (-want +got); go test ./cmd/transom -update if it is meant:\n%s", path, d)
	}
}

func TestPortInUse(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out, errs bytes.Buffer
	at := l.Addr().String()
	code := run(t.Context(), []string{"listen", "--mode", "transparent@" + at}, nil, &out, &errs)
	want := "transom: listen: transparent@" + at + ": listen on " + at + ": bind: address already in use; end what listens there, or choose another port with -p\n"
	if code != exitFailed || errs.String() != want {
		t.Errorf("exit %d: %q, want %q", code, errs.String(), want)
	}
}

func TestAuthorityCommands(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	dir := t.TempDir()
	var show, pem, errs bytes.Buffer
	if code := run(t.Context(), []string{"ca", "show"}, nil, &show, &errs); code != 0 || !strings.Contains(show.String(), "sha256") {
		t.Errorf("show: exit %d, %q, %q", code, show.String(), errs.String())
	}
	if said := errs.String(); !strings.Contains(said, "made a new one: ") {
		t.Errorf("of a new authority it says %q", said)
	}
	errs.Reset()
	if code := run(t.Context(), []string{"ca", "export"}, nil, &pem, &errs); code != 0 || !strings.HasPrefix(pem.String(), "-----BEGIN CERTIFICATE-----\n") {
		t.Errorf("export: exit %d, %q, %q", code, pem.String(), errs.String())
	}
	if errs.Len() > 0 {
		t.Errorf("of an old authority it says %q", errs.String())
	}
	if code := run(t.Context(), []string{"ca", "export", "-f", "android", "-o", dir}, nil, &pem, &errs); code != 0 {
		t.Errorf("export: exit %d, %q", code, errs.String())
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "????????.0")); len(found) != 1 {
		t.Errorf("no file with a hash for a name in %s", dir)
	}
}

func TestParseMode(t *testing.T) {
	for spec, want := range map[string]string{
		"transparent":              "[::]:8080",
		"transparent@9000":         "[::]:9000",
		"transparent@:9000":        "[::]:9000",
		"transparent@10.0.0.1:80":  "10.0.0.1:80",
		"transparent@[fd00::1]:80": "[fd00::1]:80",
		"transparent@0":            "[::]:0",
	} {
		c, err := parseMode(spec, "", defaultPort)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
		} else if got := c.Listen; got != netip.MustParseAddrPort(want) {
			t.Errorf("%s listens on %v, want %s", spec, got, want)
		}
	}
}

// TestModes: without one it is transparent, and no two are on one port.
func TestModes(t *testing.T) {
	for _, tc := range []struct {
		modes []string
		want  int // 0 is a refusal
	}{
		{nil, 1},
		{[]string{"transparent@0", "transparent@0"}, 2},
		{[]string{"transparent@0.0.0.0:80", "transparent@[::1]:80"}, 2},
		{[]string{"transparent@127.0.0.1:80", "transparent@127.0.0.2:80"}, 2},
		{[]string{"transparent@127.0.0.1:80", "transparent@0.0.0.0:80"}, 0},
		{[]string{"transparent@80", "transparent@127.0.0.1:80"}, 0},
		{[]string{"transparent", "transparent"}, 0},
	} {
		f := listenFlags{modes: tc.modes, port: numberFlag{value: defaultPort}}
		if cs, err := f.captures(); len(cs) != tc.want || (err != nil) != (tc.want == 0) {
			t.Errorf("%q: %v, %v", tc.modes, cs, err)
		}
	}
}

func FuzzParseMode(f *testing.F) {
	for _, s := range []string{"transparent", "transparent@1", "transparent@[::1]:2", "transparent@@", "transparent@[::1%eth0]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		c, err := parseMode(spec, "", defaultPort)
		if (c == capture.Redirect{}) == (err == nil) {
			t.Errorf("%q: %v, %v", spec, c, err)
		}
	})
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{"0": 0, "10": 10 * time.Second, "30s": 30 * time.Second, "1m30s": 90 * time.Second, "0.5s": 500 * time.Millisecond} {
		var d durationFlag
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%s is %s, %v", text, &d, err)
		}
	}
	for text, want := range map[string]string{
		"0": "open connections are cut", "30": "open connections may finish within 30s", "120s": "open connections may finish within 2m",
		"3600": "open connections may finish within 1h", "1h0m1s": "open connections may finish within 1h0m1s",
		"10m": "open connections may finish within 10m", "20s": "open connections may finish within 20s",
	} {
		var d durationFlag
		if err := d.Set(text); err != nil || d.grace() != want {
			t.Errorf("of %s it is said: %s, %v", text, d.grace(), err)
		}
	}
	for _, text := range []string{"", "-1", "-1s", "1.5", "ten", "10 s", "99999999999"} {
		var d durationFlag
		if err := d.Set(text); err == nil {
			t.Errorf("%q is %s", text, &d)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "512k": 512 << 10, "32M": 32 << 20, "1g": 1 << 30, "10MB": 10 << 20, "10MiB": 10 << 20, "1.5m": 3 << 19, "5b": 5} {
		var s sizeFlag
		if err := s.Set(text); err != nil || int64(s) != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
		var back sizeFlag
		if err := back.Set(s.String()); err != nil || back != s {
			t.Errorf("%s is written %s", text, s.String())
		}
	}
	for _, text := range []string{"", "k", "-1", "b", "1e3", "inf", "0x1p3", "1..5m", "99999999999g", "1 m"} {
		var s sizeFlag
		if err := s.Set(text); err == nil {
			t.Errorf("%q is %d", text, s)
		}
	}
}
