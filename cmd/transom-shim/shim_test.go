package main

import (
	"errors"
	"io/fs"
	"os/user"
	"path"
	"slices"
	"strings"
	"testing"

	"transom/platform/sandbox"
)

func TestConf(t *testing.T) {
	const head = "# who may run what\n\n/usr/bin/a\tgames # a game\n"
	c, err := parseConf(strings.NewReader(head + "/usr/bin/a root cap_net_admin,cap_net_raw\n/usr/bin/b 4711 cap_net_bind_service"))
	want := conf{
		{3, "/usr/bin/a", "games", sandbox.SetOf(sandbox.NetRaw)},
		{4, "/usr/bin/a", "root", sandbox.SetOf(sandbox.NetRaw, sandbox.NetAdmin)},
		{5, "/usr/bin/b", "4711", sandbox.SetOf(sandbox.NetBindService)},
	}
	if err != nil || !slices.Equal(c, want) {
		t.Errorf("got %v, %v; want %v", c, err, want)
	}
	for bad, why := range map[string]string{
		"/usr/bin/a":                      "line 1: 1 words",
		"\n/usr/bin/a g cap_net_raw more": "line 2: 4 words",
		"a g":                             `program "a"`,
		"/usr/../bin/a g":                 `program "/usr/../bin/a"`,
		"/usr//bin/a g":                   `program "/usr//bin/a"`,
		"/a g cap_sys_admin":              `"cap_sys_admin" can't be given`,
		"/a g cap_net_raw,":               `"" can't be given`,
		strings.Repeat("#", 60000) + "\n" + strings.Repeat("#", 60000): "longer than",
	} {
		if c, err := parseConf(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.30q: got %v, %v; want an error that has %q", bad, c, err, why)
		}
	}
}

func TestAllowed(t *testing.T) {
	raw, admin := sandbox.SetOf(sandbox.NetRaw), sandbox.SetOf(sandbox.NetAdmin)
	c := conf{{1, "/a", "10", raw}, {2, "/a", "20", admin}, {3, "/b", "no-such-group", raw}}
	for _, tc := range []struct {
		program string
		groups  []int
		caps    sandbox.Set
		why     string
	}{
		{"/a", []int{10}, raw, ""},
		{"/a", []int{20}, admin, ""},
		{"/a", []int{20, 10}, raw, ""},
		{"/a", []int{30}, 0, "only members of 10, 20 may"},
		{"/b", []int{10}, 0, "line 3: there is no group"},
		{"/c", []int{10}, 0, "/c is not in"},
		{"a", []int{10}, 0, "not an absolute path"},
		{"/./a", []int{10}, 0, "/./a is not in"},
		{"", []int{10}, 0, "not an absolute path"},
	} {
		caps, err := c.of(tc.program, func(gid int) (bool, error) { return slices.Contains(tc.groups, gid), nil })
		if caps != tc.caps || (err == nil) != (tc.why == "") || err != nil && !strings.Contains(err.Error(), tc.why) {
			t.Errorf("%s by %v: got %q, %v; want %q, %q", tc.program, tc.groups, caps, err, tc.caps, tc.why)
		}
	}
}

// TestDiscreet: what only root may read is told to root alone.
func TestDiscreet(t *testing.T) {
	why := errors.New(`line 2: program "secret"`)
	for _, tc := range []struct {
		mode fs.FileMode
		uid  int
		told bool
	}{{0o644, 1000, true}, {0o640, 1000, false}, {0o600, 1000, false}, {0o600, 0, true}} {
		if err := discreet(why, "shim.conf", tc.mode, tc.uid); err == nil || strings.Contains(err.Error(), "secret") != tc.told || !tc.told && strings.Contains(err.Error(), "line") {
			t.Errorf("mode %v, uid %d: %v", tc.mode, tc.uid, err)
		}
	}
	if err := discreet(nil, "shim.conf", 0o600, 1000); err != nil {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{
		"LD_PRELOAD=/home/u/evil.so", "PATH=/home/u/bin", "HOME=/home/u", "PYTHONPATH=.", "NODE_OPTIONS=--require=x", "GODEBUG=x", "IFS=x", "BASH_ENV=/home/u/x",
		"TERM=xterm-256color", "TERM=twice", "TERMINFO=/home/u", "LANG=de_DE.UTF-8", "LC_ALL=../../home/u", "LC_TIME=%n", "TZ=Europe/Berlin", "LC_EVIL=C",
		"COLORTERM=" + strings.Repeat("x", 1000), "=x", "NO_COLOR", "BASH_FUNC_ls%%=() { evil; }",
	}, &user.User{Username: "uma", HomeDir: "/home/uma"})
	want := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/home/uma", "USER=uma", "LOGNAME=uma", "SHELL=/bin/sh", "PYTHONNOUSERSITE=1",
		"TERM=xterm-256color", "LANG=de_DE.UTF-8", "TZ=Europe/Berlin",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, zone := range []string{"/home/u/zone", ":/home/u/zone", "./zone", "Europe/../../../home/u/zone"} {
		if harmless("TZ", zone) {
			t.Errorf("time zone %q passes", zone)
		}
	}
}

func TestBehindBang(t *testing.T) {
	for head, want := range map[string]string{
		"": "", "#": "", "\x7fELF#!/a": "", "#!": "", "#!\n/a": "",
		"#!/a": "/a", "#! \t/a\tb c\n": "/a", "#!a/b\nx": "a/b", "#!/a\x00b": "/a",
	} {
		if got := behindBang([]byte(head)); got != want {
			t.Errorf("%q: got %q, want %q", head, got, want)
		}
	}
}

// FuzzConf: what is read names programs that can be compared, and gives nothing
// that can't be given.
func FuzzConf(f *testing.F) {
	f.Add([]byte("/usr/bin/a g cap_net_raw,cap_net_admin # x\n\n/b 10"))
	f.Add([]byte("/usr/../a g\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConf(strings.NewReader(string(b)))
		if err != nil && c != nil {
			t.Errorf("%v beside %v", c, err)
		}
		for _, a := range c {
			if !path.IsAbs(a.program) || path.Clean(a.program) != a.program || a.group == "" ||
				a.caps == 0 || a.caps&^sandbox.SetOf(grantable...) != 0 || a.line < 1 {
				t.Errorf("read %+v", a)
			}
		}
	})
}
