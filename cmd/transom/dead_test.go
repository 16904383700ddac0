package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"transom/filter"
)

// TestNothingDead holds what the manual tells people to type to what there is: our
// commands with their options and values, make's targets, Go's tests, the files of
// this repository. Links are followed by TestLinks, recipes run in internal/nettest.
func TestNothingDead(t *testing.T) {
	r := newReader(t)
	for _, s := range snippets(t) {
		if s.lang != "" && s.lang != "sh" {
			continue
		}
		if s.lang == "sh" {
			if out, err := exec.Command("sh", "-nc", s.text).CombinedOutput(); err != nil {
				t.Errorf("%s: no shell takes this: %s", s.at(0), out)
			}
		}
		r.read(s)
	}
	for _, o := range others["docs/mitmproxy.md"] {
		if r.option(o, "") == nil && o != "--mode" {
			t.Errorf("docs/mitmproxy.md has %s for an option that is not there", o)
		}
	}
	for _, f := range r.dead {
		t.Error(f)
	}
	if r.commands < 80 || r.options < 80 || r.paths < 5 || r.runs < 10 {
		t.Errorf("the manual has %d of our commands, %d options, %d paths and %d commands of make and go: they are not read any more",
			r.commands, r.options, r.paths, r.runs)
	}
}

// others are options of other programs that pages name by themselves.
var others = map[string][]string{
	"docs/by-hand.md":  {"-m"},                      // of iptables
	"docs/devices.md":  {"-writable-system"},        // of Android's emulator
	"docs/doctor.md":   {"--cap-add"},               // of docker run
	"docs/gateway.md":  {"-ip6tables"},              // how a setting's name ends
	"docs/machines.md": {"-nic", "--network", "-e"}, // of QEMU and docker run
	"docs/macos.md":    {"-a", "-s"},                // of pfctl
	"docs/mitmproxy.md": {
		"--showhost", "--set", "--mode", "--map-remote", "--map-local", "--modify-body", "--modify-headers", "--block-list",
		"--intercept", "--anticache", "--anticomp", "--stickycookie", "--stickyauth", "--proxyauth", "--certs", "--client-certs",
	}, // of mitmdump
	"docs/run.md": {"--"},
}

// A reader finds what is dead in snippets.
type reader struct {
	targets []string // of make
	top     []string // directories of the repository

	commands, options, paths, runs int      // that were found
	dead                           []string // of these
}

func newReader(t *testing.T) *reader {
	t.Helper()
	return &reader{targets: targetsOfMake(t), top: topOfTree(t)}
}

func (r *reader) read(s snippet) {
	for _, c := range commandsOf(s.text) {
		errs := []error{r.command(plain(c.words), s.span)}
		if s.span && strings.HasPrefix(c.words[0], "-") && !slices.Contains(others[s.page], c.words[0]) {
			errs = append(errs, r.option(c.words[0], strings.Join(c.words[1:], " ")))
		}
		for _, w := range c.words {
			errs = append(errs, r.file(w))
		}
		if err := errors.Join(errs...); err != nil {
			r.dead = append(r.dead, fmt.Sprintf("%s: %q: %v", s.at(c.line), strings.Join(c.words, " "), err))
		}
	}
}

// plain is a command without what is before it: who runs it, and variables.
func plain(words []string) []string {
	assigned := regexp.MustCompile(`^\w+=`)
	for len(words) > 0 {
		switch w := words[0]; {
		case assigned.MatchString(w), slices.Contains([]string{"sudo", "doas", "exec", "do", "then", "if", "!", "$"}, w):
			words = words[1:]
		case w == "ip" && len(words) > 4 && words[1] == "netns" && words[2] == "exec":
			words = words[4:]
		default:
			return words
		}
	}
	return nil
}

// command looks at a command of ours, of make's and of Go's.
func (r *reader) command(words []string, span bool) error {
	if len(words) == 0 {
		return nil
	}
	switch args := words[1:]; path.Base(words[0]) {
	case "transom":
		if span && len(args) == 0 || len(args) > 0 && args[0] == "COMMAND" || path.Dir(words[0]) == "/etc/init.d" {
			return nil // spoken of, or OpenWrt's script
		}
		r.commands++
		return ours(args, span)
	case "transom-shim":
		if span && (len(args) == 0 || args[0] == "PROGRAM") {
			return nil
		}
		if !path.IsAbs(args[0]) {
			return errors.New("the program's path has to be absolute")
		}
		return r.command(args, span)
	case "sysctl":
		return settings(args)
	case "make":
		r.runs++
		return r.make(args)
	case "go":
		r.runs++
		return r.golang(args)
	}
	return nil
}

// ours parses a command of ours as the program would, without doing it.
func ours(args []string, span bool) error {
	root := rootCommand()
	root.InitDefaultVersionFlag()
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	cmd.InitDefaultHelpFlag()
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if cmd == root && len(cmd.Flags().Args()) > 0 {
		return errors.New("there is no such command")
	}
	rest = cmd.Flags().Args()
	internal := span && cmd.Parent() != nil && cmd.Parent().Hidden // named without what it is started with
	if cmd.Args != nil && !slices.ContainsFunc(rest, placeholder) && !internal {
		err = cmd.Args(cmd, rest)
	}
	cmd.Flags().Visit(func(f *pflag.Flag) { err = errors.Join(err, taken(f, f.Value.String())) })
	if slices.Contains([]string{"gateway", "listen"}, cmd.Name()) && len(rest) > 0 && !slices.ContainsFunc(rest, placeholder) {
		_, bad := filter.Parse(strings.Join(rest, " "), filter.Options{})
		err = errors.Join(err, bad)
	}
	return err
}

// settings looks for what sysctl is told to set of IPv4 and IPv6, where the kernel is
// Linux's and has that. Of an interface it asks lo, since others are the reader's.
func settings(args []string) error {
	for _, a := range args {
		key, _, set := strings.Cut(a, "=")
		if !set || !strings.HasPrefix(key, "net.ipv") {
			continue
		}
		file := strings.ReplaceAll(regexp.MustCompile(`\.conf\.\w+\.`).ReplaceAllString(key, ".conf.lo."), ".", "/")
		_, none := os.Stat("/proc/sys/" + key[:3] + "/" + key[4:8])
		if _, err := os.Stat("/proc/sys/" + file); err != nil && none == nil && !strings.Contains(key, "…") {
			return err
		}
	}
	return nil
}

// make looks for targets in the Makefile.
func (r *reader) make(args []string) error {
	for i, a := range args {
		if strings.ContainsAny(a, "=-") || placeholder(a) || i > 0 && strings.HasPrefix(args[i-1], "-") {
			continue
		}
		if !slices.Contains(r.targets, a) {
			return fmt.Errorf("the Makefile has no target %s", a)
		}
	}
	return nil
}

// golang looks for tests that are to be run.
func (r *reader) golang(args []string) error {
	i := slices.IndexFunc(args, func(a string) bool { return a == "-run" || a == "-bench" || a == "-fuzz" })
	if len(args) == 0 || args[0] != "test" || i < 0 {
		return nil
	}
	want, err := regexp.Compile(`(?m)^func (Test|Benchmark|Fuzz)\w*` + strings.Trim(args[i+1], "^$"))
	if err != nil {
		return err
	}
	if strings.HasPrefix(args[i+1], "Test") {
		want = regexp.MustCompile(`(?m)^func ` + args[i+1])
	}
	files, _ := filepath.Glob(filepath.Join("../..", args[len(args)-1], "*_test.go"))
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && want.Match(b) {
			return nil
		}
	}
	return fmt.Errorf("%s has no such test", args[len(args)-1])
}

// file looks for what seems to be a path of the repository.
func (r *reader) file(w string) error {
	w = strings.TrimPrefix(strings.TrimRight(w, "/"), "./")
	top, rest, ok := strings.Cut(w, "/")
	if !ok || rest == "" || strings.ContainsAny(w, "…*<>") || !slices.Contains(r.top, top) {
		return nil
	}
	r.paths++
	_, err := os.Stat(filepath.Join("../..", w))
	return err
}

func targetsOfMake(t *testing.T) (targets []string) {
	t.Helper()
	b, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z]+):`).FindAllStringSubmatch(string(b), -1) {
		targets = append(targets, m[1])
	}
	return targets
}

func topOfTree(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && e.Name() != "bin" && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// TestDead has the reader find what is dead, and nothing else.
func TestDead(t *testing.T) {
	alive := []string{
		"sudo transom gateway --interface lan0 --from 192.168.7.0/24 '~d example & !~c 200'",
		"HOME=/x transom run --json -- curl -k https://example.com/ && make install PREFIX=/usr",
		"transom-shim /usr/local/bin/transom listen -T | less",
		"transom COMMAND --help; transom --version; transom help gateway; transom run",
		"go test -run TestNothingDead ./cmd/transom; go test ./filter; ls docs/run.md; sysctl -w net.ipv4.conf.lan0.send_redirects=0 net.inet.ip.forwarding=1",
	}
	for _, line := range alive {
		r := newReader(t)
		r.read(snippet{page: "p", lang: "sh", text: line})
		if len(r.dead) > 0 {
			t.Errorf("dead: %s", r.dead)
		}
	}
	for _, line := range []string{
		"transom gatewy", "transom steer hide", "transom gateway --interfaces lan0", "sudo transom gateway --backend magic",
		"true && transom gateway --spoof-source theirs", "transom listen --ignore-hosts 'a('", "transom gateway --ports http",
		"transom gateway --from 192.168.7.1/24", "transom listen '~nonsense'", "transom listen -m socks5", "transom cleanup all",
		"transom gateway -p banana", "sysctl -w net.ipv4.ip_forwarding=1", "transom-shim transom listen", "make nothing", "go test -run TestNothingAtAll ./cmd/transom", "cat docs/nothing.md",
	} {
		r := newReader(t)
		r.read(snippet{page: "p", line: 7, lang: "sh", text: line})
		if len(r.dead) != 1 || !strings.HasPrefix(r.dead[0], "p:7: ") {
			t.Errorf("%s: found %q", line, r.dead)
		}
	}
	for span, dead := range map[string]bool{
		"--json": false, "--nothing": true, "-T": false, "-Z": true, "--quic reject|pass": false, "--quic reject|no": true,
		"--spoof-source ip|ADDRESS": false, "--spoof-source port": true, "--body-limit 1x": true, "transom": false, "transom helper find": false, "transom helper lose": true,
	} {
		r := newReader(t)
		r.read(snippet{page: "p", span: true, text: span})
		if len(r.dead) > 0 != dead {
			t.Errorf("%s: found %q", span, r.dead)
		}
	}
}
