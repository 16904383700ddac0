package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A disk is full while left is 0.
type disk struct {
	bytes.Buffer
	left int
	err  error
}

func (d *disk) Write(p []byte) (int, error) {
	n := min(len(p), d.left)
	d.left -= n
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, d.err
	}
	return n, nil
}

// TestSink: a full disk loses what comes meanwhile, and that is told once.
func TestSink(t *testing.T) {
	var log strings.Builder
	d := &disk{left: 6, err: syscall.ENOSPC}
	s := &sink{w: d, log: slog.New(slog.NewTextHandler(&log, nil))}
	for i, text := range []string{"one\n", "two\n", "three\n", "four\nfive\n"} {
		if i == 3 {
			d.left = 100
		}
		if n, err := s.Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
	if got := d.String(); got != "one\ntw\nfour\nfive\n" {
		t.Errorf("written: %q", got)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "lines_lost=2") {
		t.Errorf("logged %s", &log)
	}
	if err := s.err(); err == nil || !strings.Contains(err.Error(), "2 lines") {
		t.Errorf("in the end: %v", err)
	}
	d.left, d.err = 0, syscall.EPIPE
	if _, err := s.Write([]byte("six\n")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("without a reader: %v", err)
	}
}

// TestSinkCuts: a file keeps whole lines only.
func TestSinkCuts(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "flows"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("one\ntwo\nthr"); err != nil {
		t.Fatal(err)
	}
	s := &sink{w: f}
	if !s.cut([]byte("two\nthr")) {
		t.Error("not cut")
	}
	if b, err := os.ReadFile(f.Name()); string(b) != "one\ntwo\n" || err != nil {
		t.Errorf("left: %q, %v", b, err)
	}
}

// TestOutput: -o replaces a file, -o + adds to one.
func TestOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "flows")
	for _, tc := range []struct{ out, say, want string }{
		{"+" + path, "new ", "new "},
		{"+" + path, "more ", "new more "},
		{path, "other ", "other "},
	} {
		f := proxyFlags{out: tc.out}
		w, done, err := f.output(nil, &rights{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, tc.say); err != nil {
			t.Error(err)
		}
		if err := done(); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(path); string(b) != tc.want || err != nil {
			t.Errorf("-o %s: it holds %q, %v, want %q", tc.out, b, err, tc.want)
		}
	}
	f, stdout := proxyFlags{out: "-"}, new(bytes.Buffer)
	if w, _, err := f.output(stdout, &rights{}); w != stdout || err != nil {
		t.Errorf("-o -: %v, %v", w, err)
	}
}

// TestOutputDescriptor: -o & takes what this process was given and can write to.
func TestOutputDescriptor(t *testing.T) {
	own, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for number, want := range map[string]string{
		"x":                         "no number",
		"999":                       "descriptor 999 is not open: ",
		strconv.Itoa(int(own.Fd())): "is not open: ", // by whoever started us
	} {
		f := proxyFlags{out: "&" + number}
		_, _, err := f.output(nil, &rights{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "write &") {
			t.Errorf("-o &%s: %v, want %q", number, err, want)
		}
	}
}
