package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// programPath is where iptables is looked for, and all that it gets of an
// environment: it runs with our rights, and a variable of the caller's could
// have it load the caller's code.
const programPath = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin:/usr/local/bin:/run/current-system/sw/bin"

// xtPrograms are the programs of one family.
type xtPrograms struct {
	name          string // "iptables", "ip6tables"; for people
	save, restore string // their paths
	env           []string
	caps          []uintptr // handed on to them
}

// findPrograms looks for the programs of a family, name, that can talk to this
// kernel. Those without an addition to their name mostly speak the language of
// nf_tables now, those with "-legacy" the old one.
func findPrograms(ctx context.Context, name string, variants, env []string) (*xtPrograms, error) {
	var errs []error
	caps, err := netCaps()
	if err != nil {
		return nil, err
	}
	for _, variant := range variants {
		p := &xtPrograms{name: name, env: env, caps: caps}
		var err1, err2 error
		p.save, err1 = findProgram(name + variant + "-save")
		p.restore, err2 = findProgram(name + variant + "-restore")
		err := errors.Join(err1, err2)
		if err == nil {
			if _, err = p.list(ctx); err == nil {
				return p, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("find %s that works here: %w", name, errors.Join(errs...))
}

// netCaps are those of this process's capabilities that the programs have use
// for. A process that has given up all else, root too, has to hand them on.
func netCaps() (caps []uintptr, err error) {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return nil, fmt.Errorf("read this process's capabilities: %w", err)
	}
	for _, c := range []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW} {
		if data[0].Permitted&(1<<c) != 0 {
			caps = append(caps, c)
		}
	}
	return caps, nil
}

// findProgram finds a program.
func findProgram(name string) (string, error) {
	for _, dir := range filepath.SplitList(programPath) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w, it is not in %s", name, platform.ErrUnsupported, programPath)
}

// list returns what is ours.
func (p *xtPrograms) list(ctx context.Context) ([]xtThere, error) {
	out, err := p.run(ctx, nil, p.save)
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	return parseSave(string(out)), nil
}

// put has iptables-restore carry out input. Each table is changed as one.
func (p *xtPrograms) put(ctx context.Context, input []byte) error {
	if len(input) == 0 {
		return nil
	}
	_, err := p.run(ctx, input, p.restore, "-w", "5", "--noflush")
	return err
}

// run runs a program of ours by its path, on the calling thread's namespace. The
// error has its words, and the line of input that they are about.
func (p *xtPrograms) run(ctx context.Context, input []byte, path string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append([]string{"PATH=" + programPath, "LC_ALL=C"}, p.env...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: p.caps}
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	if err == nil {
		return out.Bytes(), nil
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case strings.Contains(words.String(), "ermission denied"), strings.Contains(words.String(), "not permitted"):
		err = fmt.Errorf("%w (%w)", fs.ErrPermission, err)
	}
	return nil, fmt.Errorf("%s: %w%s", filepath.Base(path), err, complaint(words.String(), input))
}

// complaint quotes a program's words, in one line, and the line of its input
// that it names.
func complaint(words string, input []byte) string {
	const enough = 300
	said := strings.Join(strings.FieldsFunc(words, func(r rune) bool { return unicode.IsControl(r) }), "; ")
	if said == "" {
		return ""
	}
	if len(said) > enough {
		said = said[:enough] + "..."
	}
	return ": " + said + lineNamed(words, string(input))
}

// lineNamed quotes the line of input whose number words mention: "line 4 failed",
// "line 4: RULE_APPEND failed", "Error occurred at line: 4". The old iptables
// tells no more than that a table as a whole was refused.
func lineNamed(words, input string) string {
	_, rest, ok := strings.Cut(words, "line")
	if !ok {
		return ""
	}
	rest = strings.TrimLeft(rest, ": ")
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	n, err := strconv.Atoi(digits)
	lines := strings.Split(input, "\n")
	if err != nil || n < 1 || n > len(lines) {
		return ""
	}
	if lines[n-1] != "COMMIT" {
		return fmt.Sprintf(" (%q)", lines[n-1])
	}
	for _, line := range slices.Backward(lines[:n]) {
		if table, ok := strings.CutPrefix(line, "*"); ok {
			return fmt.Sprintf(" (the kernel refuses a rule of table %s; dmesg may say which)", table)
		}
	}
	return ""
}
