package nettest_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"transom/internal/testnet"
	"transom/platform/lab"
)

// built is where TestMain put the programs, or why it could not be built.
var built struct {
	dir string // holds transom and transom-shim
	err error
}

// TestMain builds the programs, once, as make does, and runs the tests in a user
// namespace if it has to.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == fetchName {
		if err := fetch(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	done, code, err := lab.Reexec()
	if done {
		os.Exit(code)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests in namespaces are skipped:", err)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "transom-nettest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built.dir = dir
	for _, name := range []string{"transom", "transom-shim"} {
		if built.err == nil {
			built.err = build(filepath.Join(dir, name), "transom/cmd/"+name)
		}
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func build(to, what string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=nettest",
		"-o", to, what)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", what, err, out)
	}
	return nil
}

// sbin is where programs are that not everybody has in the path.
const sbin = "/usr/local/sbin:/usr/sbin:/sbin"

// find returns where a program is, "" if it is nowhere. The system's own goes
// before what a version manager put into somebody's home.
func find(name string) string {
	for _, dir := range strings.Split(built.dir+":/usr/bin:/bin:"+sbin+":"+os.Getenv("PATH"), ":") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(path) {
			return path
		}
	}
	return ""
}

// need skips t unless all programs are there.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		testnet.Need(t, find(name) != "", "the program "+name)
	}
}

// h2spec builds the program that go.mod pins, and returns its name.
func h2spec(t *testing.T) string {
	t.Helper()
	if err := build(filepath.Join(built.dir, "h2spec"), "github.com/summerwind/h2spec/cmd/h2spec"); err != nil {
		t.Fatal(err)
	}
	return "h2spec"
}
