package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// parses fails t unless the program takes these arguments.
func parses(t *testing.T, args []string) {
	t.Helper()
	cmd, rest, err := rootCommand().Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil && cmd.Flags().NArg() > 0 {
		err = cmd.Args(cmd, cmd.Flags().Args())
	}
	if err != nil || !cmd.HasParent() {
		t.Errorf("%q: %v", args, err)
	}
}

// TestUnit checks what systemd would start.
func TestUnit(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("make", "-C", "../..", "service", "DESTDIR="+dir, "PREFIX="+dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	_, options, ok := strings.Cut(read("etc/transom/gateway.conf"), "\nTRANSOM_OPTIONS=")
	if !ok {
		t.Fatal("gateway.conf has no options")
	}
	unit := strings.TrimPrefix(filepath.Join(dir, "lib/systemd/system/transom.service"), "/")
	program, started := filepath.Join(dir, "bin/transom"), 0
	for line := range strings.Lines(read(unit)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if !strings.HasPrefix(key, "Exec") {
			continue
		}
		started++
		words := strings.Fields(strings.NewReplacer("${STATE_DIRECTORY}", "/var/lib/transom", "$TRANSOM_OPTIONS", options).Replace(value))
		if words[0] != program {
			t.Errorf("starts %s", words[0])
		}
		parses(t, words[1:])
	}
	if started != 2 {
		t.Errorf("%d programs are started", started)
	}
	if systemd, err := exec.LookPath("systemd-analyze"); err == nil {
		// Whatever it starts has to be there.
		if err := errors.Join(os.MkdirAll(filepath.Dir(program), 0o755), os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(systemd, "verify", "--man=no", filepath.Join(dir, unit)).CombinedOutput(); err != nil || strings.Contains(string(out), "transom") {
			t.Errorf("systemd-analyze: %v\n%s", err, out)
		}
	}
	// A file of the operator's stays.
	if err := os.WriteFile(filepath.Join(dir, "etc/transom/gateway.conf"), []byte("own"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("make", "-C", "../..", "service", "DESTDIR="+dir).CombinedOutput(); err != nil || read("etc/transom/gateway.conf") != "own" {
		t.Errorf("gateway.conf is lost: %v\n%s", err, out)
	}
}

// TestInstalled has make install write completions, each of which its shell reads, and
// take all back.
func TestInstalled(t *testing.T) {
	dir := t.TempDir()
	install := func(targets ...string) {
		t.Helper()
		args := append([]string{"-C", "../..", "DESTDIR=" + dir, "PREFIX=/opt/of mine"}, targets...)
		if out, err := exec.Command("make", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	share := filepath.Join(dir, "opt/of mine/share")
	install("completions", "unit")
	for shell, file := range map[string]string{
		"bash": "bash-completion/completions/transom",
		"zsh":  "zsh/site-functions/_transom",
		"fish": "fish/vendor_completions.d/transom.fish",
	} {
		if b, err := os.ReadFile(filepath.Join(share, file)); err != nil || !strings.Contains(string(b), "transom") {
			t.Errorf("%s: %v, %d bytes", file, err, len(b))
		}
		if path, err := exec.LookPath(shell); err == nil {
			if out, err := exec.Command(path, "-n", filepath.Join(share, file)).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", file, err, out)
			}
		}
	}
	install("uninstall")
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			t.Errorf("%s is left: %v", path, err)
		}
		return nil
	})
}

// procd are functions of OpenWrt's that write down what they are told.
const procd = `
mkdir() { :; }
chmod() { :; }
config_load() { :; }
config_get_bool() { eval "$1=\${enabled_is:-$4}"; }
config_get() { eval "$1=\$4"; }
config_list_foreach() { "$3" --ports=80,443; "$3" --json; }
procd_open_instance() { :; }
procd_close_instance() { :; }
procd_set_param() { [ "$1" != command ] || { shift; printf '%s\n' "$@"; }; }
procd_append_param() { shift; printf '%s\n' "$@"; }
`

// TestOpenWrt checks what procd would start.
func TestOpenWrt(t *testing.T) {
	start := func(enabled string) string {
		out, err := exec.Command("sh", "-euc", procd+"enabled_is="+enabled+"\n. ../../packaging/openwrt/transom.init\nstart_service").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if got := start("0"); got != "" {
		t.Errorf("starts %q though it is not enabled", got)
	}
	words := strings.Fields(start("1"))
	if len(words) != 10 || words[0] != "/usr/bin/transom" {
		t.Fatalf("starts %q", words)
	}
	parses(t, words[1:])
}
