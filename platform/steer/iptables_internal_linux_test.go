package steer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transom/internal/testnet"
	"transom/platform"
)

// fakePrograms are of one family, and shell scripts, which run in a directory of
// their own.
func fakePrograms(t *testing.T, save, restore string) (p *xtPrograms, dir string) {
	t.Helper()
	_, err := os.Stat("/bin/sh")
	testnet.Need(t, err == nil, "/bin/sh")
	dir = t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\ncd "+dir+"\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return &xtPrograms{name: "iptables", save: script("save", save), restore: script("restore", restore)}, dir
}

// TestChangeOnceMore has rules go between the list of them and their change: what
// is to be changed is listed, and changed, once more.
func TestChangeOnceMore(t *testing.T) {
	for name, tt := range map[string]struct {
		fails string // so often
		err   bool
	}{
		"never": {"0", false}, "once": {"1", false}, "always": {"9", true},
	} {
		t.Run(name, func(t *testing.T) {
			p, dir := fakePrograms(t,
				"[ -e failed ] || printf '*mangle\\n:TRANSOM_OLD - [0:0]\\nCOMMIT\\n'",
				"cat >got; echo >>failed; [ $(wc -l <failed) -gt "+tt.fails+" ] && cat got >put && exit 0\n"+
					"echo 'line 2: CHAIN_DEL failed (No such file or directory): chain TRANSOM_OLD' >&2; exit 4")
			x := &IPTables{programs: []*xtPrograms{p}}
			s := platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}}
			if err := x.bringLocked(t.Context(), steeringOf(s)); (err != nil) != tt.err || err != nil && !strings.Contains(err.Error(), "CHAIN_DEL failed") {
				t.Fatal(err)
			}
			put, err := os.ReadFile(filepath.Join(dir, "put"))
			if (err != nil) != tt.err {
				t.Fatal(err)
			}
			if old := strings.Contains(string(put), "TRANSOM_OLD"); old != (name == "never") {
				t.Errorf("what has gone is removed: %v", old)
			}
		})
	}
}

// TestTrialGoes has a firewall loaded anew while rules are tried: what has gone need
// not be removed.
func TestTrialGoes(t *testing.T) {
	p, _ := fakePrograms(t,
		"[ -e tried ] && ! [ -e gone ] && printf '*mangle\\n:TRANSOM_TRY_CLIENT - [0:0]\\nCOMMIT\\n'; true",
		"cat >got; touch tried; grep -q -- '-X TRANSOM_TRY_CLIENT' got || exit 0; touch gone; echo 'CHAIN_DEL failed' >&2; exit 4")
	x := &IPTables{programs: []*xtPrograms{p}}
	s := platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}}
	if err := x.tryLocked(t.Context(), steeringOf(s)); err != nil {
		t.Error(err)
	}
}
