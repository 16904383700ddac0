package trust_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"transom/platform/trust"
)

// insideVariable names the file that says what to lay over, in a process that runs a
// program inside.
const insideVariable = "TRANSOM_TEST_INSIDE"

// fetchVariable names the page that this program fetches when it is a visitor.
const fetchVariable = "TRANSOM_TEST_FETCH"

func TestMain(m *testing.M) {
	if name := os.Getenv(insideVariable); name != "" {
		fmt.Fprintln(os.Stderr, "inside:", enter(name, os.Args[1:]))
		os.Exit(1)
	}
	if url := os.Getenv(fetchVariable); url != "" && len(os.Args) == 1 {
		if _, err := http.Get(url); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// inside returns a program that sees the files of an overlay, in user and mount
// namespaces of its own, and has its variables besides those of env.
func inside(t *testing.T, o trust.Overlay, env []string, args ...string) *exec.Cmd {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "overlay")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = slices.Concat(env, o.Env, []string{insideVariable + "=" + name})
	cmd.SysProcAttr = namespaces()
	return cmd
}

// enter lays files over and becomes the program.
func enter(name string, args []string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var o trust.Overlay
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	if err := lay(o.Files, filepath.Dir(name)); err != nil {
		return err
	}
	if err := os.Unsetenv(insideVariable); err != nil {
		return err
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, os.Environ())
}

// lay mounts: over directories that lack files an overlay that has them, then over
// files ours. What is mounted is kept in a tmpfs on stage, which is hidden at last.
func lay(files []trust.File, stage string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", stage, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	uppers := map[string]string{}
	for _, f := range files {
		if !f.New {
			continue
		}
		base := filepath.Dir(f.Path)
		for {
			if _, err := os.Stat(base); err == nil {
				break
			}
			base = filepath.Dir(base)
		}
		if uppers[base] == "" {
			uppers[base] = filepath.Join(stage, fmt.Sprint("upper", len(uppers)))
		}
		name := filepath.Join(uppers[base], strings.TrimPrefix(f.Path, base))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			return err
		}
	}
	var bases []string
	for base := range uppers {
		bases = append(bases, base)
	}
	slices.Sort(bases) // what is above comes first
	for _, base := range bases {
		upper := uppers[base]
		if err := os.Mkdir(upper+".work", 0o755); err != nil {
			return err
		}
		if err := unix.Mount("overlay", base, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s.work,userxattr", base, upper, upper)); err != nil {
			return fmt.Errorf("lay over %s: %w", base, err)
		}
	}
	for n, f := range files {
		if f.New {
			continue
		}
		name := filepath.Join(stage, fmt.Sprint("file", n))
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			return err
		}
		if err := unix.Mount(name, f.Path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("lay over %s: %w", f.Path, err)
		}
	}
	return nil
}
