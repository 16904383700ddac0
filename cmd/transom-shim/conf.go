package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"

	"transom/platform/sandbox"
)

// confName is where root says who may run what. It can't be elsewhere: a caller
// would say where.
const confName = "/etc/transom/shim.conf"

// confMost bounds it, in bytes.
const confMost = 64 << 10

// grantable are the capabilities that can be given: what intercepting takes, and
// nothing that leads to others.
var grantable = []sandbox.Cap{sandbox.NetRaw, sandbox.NetAdmin, sandbox.NetBindService}

// A conf says who may run what. Its order counts: of lines that fit, the first.
type conf []allowance

// An allowance is one line.
type allowance struct {
	line    int
	program string
	group   string
	caps    sandbox.Set
}

// granted is what root's file gives a program if somebody runs it who is in the groups
// that member reports true for.
func granted(name, program string, member func(gid int) (bool, error)) (sandbox.Set, error) {
	info, err := sandbox.RootsOwn(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%s is not there: root has to write into it who may run what, as in \"/usr/local/bin/transom  transom-shim  cap_net_raw\"", name)
	}
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no file")
	}
	if err != nil {
		return 0, fmt.Errorf("refuse %s: %w", name, err)
	}
	c, err := readConf(name)
	if err != nil {
		return 0, discreet(err, name, info.Mode(), os.Getuid())
	}
	caps, err := c.of(program, member)
	return caps, discreet(err, name, info.Mode(), os.Getuid())
}

// discreet is what a caller is told: of a file that is not for everybody nothing that it
// has in it, since the launcher may read more than its caller.
func discreet(err error, name string, mode fs.FileMode, uid int) error {
	if err == nil || uid == 0 || mode.Perm()&0o004 != 0 {
		return err
	}
	return fmt.Errorf("refused: what %s says is for root alone, who is told why", name)
}

// readConf reads the file.
func readConf(name string) (conf, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := parseConf(f)
	if err != nil {
		return nil, fmt.Errorf("refuse %s: %w", name, err)
	}
	return c, nil
}

// parseConf reads lines of a program, a group and, separated by commas,
// capabilities. What follows # is for people.
func parseConf(r io.Reader) (conf, error) {
	limited := &io.LimitedReader{R: r, N: confMost + 1}
	var c conf
	in := bufio.NewScanner(limited)
	for n := 1; in.Scan(); n++ {
		text, _, _ := strings.Cut(in.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		a, err := parseAllowance(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		a.line = n
		c = append(c, a)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("it is longer than %d bytes", confMost)
	}
	return c, in.Err()
}

func parseAllowance(fields []string) (allowance, error) {
	if len(fields) < 2 || len(fields) > 3 {
		return allowance{}, fmt.Errorf("%d words: want a program, a group and, if not cap_net_raw, capabilities", len(fields))
	}
	a := allowance{program: fields[0], group: fields[1], caps: sandbox.SetOf(sandbox.NetRaw)}
	if !path.IsAbs(a.program) || path.Clean(a.program) != a.program {
		return allowance{}, fmt.Errorf("program %q: want an absolute path, without . and .. and doubled slashes", a.program)
	}
	if len(fields) == 2 {
		return a, nil
	}
	a.caps = 0
	for name := range strings.SplitSeq(fields[2], ",") {
		c, err := parseCap(name)
		if err != nil {
			return allowance{}, err
		}
		a.caps |= sandbox.SetOf(c)
	}
	return a, nil
}

func parseCap(name string) (sandbox.Cap, error) {
	for _, c := range grantable {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("capability %q can't be given: only %s can", name, sandbox.SetOf(grantable...))
}

// of returns what program is given if somebody runs it who is in the groups that
// member reports true for.
func (c conf) of(program string, member func(gid int) (bool, error)) (sandbox.Set, error) {
	var groups []string
	for _, a := range c {
		if a.program != program {
			continue
		}
		gid, err := groupID(a.group)
		if err != nil {
			return 0, fmt.Errorf("%s, line %d: %w", confName, a.line, err)
		}
		ok, err := member(gid)
		if err != nil {
			return 0, err
		}
		if ok {
			return a.caps, nil
		}
		groups = append(groups, a.group)
	}
	if len(groups) > 0 {
		return 0, fmt.Errorf("you may not run %s: only members of %s may, says %s", program, strings.Join(groups, ", "), confName)
	}
	if !path.IsAbs(program) {
		return 0, fmt.Errorf("%q is not an absolute path: programs are not searched for", program)
	}
	return 0, fmt.Errorf("%s is not in %s: root has to allow it there", program, confName)
}

// groupID finds a group by its name, or by its number.
func groupID(name string) (int, error) {
	g, err := user.LookupGroup(name)
	if errors.As(err, new(user.UnknownGroupError)) {
		if gid, numeric := strconv.ParseUint(name, 10, 31); numeric == nil {
			return int(gid), nil
		}
		return 0, fmt.Errorf("there is no group %q", name)
	}
	if err != nil {
		return 0, fmt.Errorf("look up group %q: %w", name, err)
	}
	return strconv.Atoi(g.Gid)
}
