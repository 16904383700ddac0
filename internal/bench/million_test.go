package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transom/internal/testnet"
)

// TestMillion does it with fewer.
func TestMillion(t *testing.T) {
	_, err := os.Stat("/proc/self/status")
	testnet.Need(t, err == nil, "/proc as Linux has it")
	dir, profile := filepath.Join(t.TempDir(), "flows"), t.TempDir()
	var out, progress bytes.Buffer
	if err := millions(t.Context(), []string{"-flows", "3000", "-dir", dir, "-profile", profile}, nil, &out, &progress); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	for _, want := range []string{"\nflows ", "3000, with", "0 flows, 0 ends of bodies", "\nin mitmproxy's file ", "\n~words nosuchword ", "\nfirst page, ms;", "\n~c 404 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	for _, name := range []string{filepath.Join(dir, "index.db"), filepath.Join(profile, "cpu.pprof"), filepath.Join(profile, "heap.pprof")} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if err := millions(t.Context(), []string{"-dir", dir}, nil, &out, &progress); err == nil {
		t.Error("it records to a directory that is there")
	}
}
