package main

import (
	"encoding/base64"
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transom/app/command"
	"transom/flow"
	"transom/store"
)

// secretExchange is a flow with a secret in its URL, its fields and its body.
func secretExchange(t *testing.T, dir string) {
	t.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	body := d.NewBody()
	if _, err := io.WriteString(body, `{"password":"topsecret","name":"ann"}`); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	f := &flow.Flow{
		ID: flow.NewID(at), Start: at, End: at.Add(time.Second), State: flow.Done,
		Conn: &flow.Conn{ID: flow.NewID(at), Start: at, Network: "tcp", Client: netip.MustParseAddrPort("192.0.2.7:50000"), Dst: netip.MustParseAddrPort("10.9.0.2:80")},
		Detail: &flow.HTTP{
			Request: &flow.RequestHead{
				Method: "POST", Scheme: "http", Authority: "a.example", Target: "/?token=topsecret", Proto: flow.HTTP11,
				Header: flow.Header{{Name: "Host", Value: "a.example"}, {Name: "Cookie", Value: "id=topsecret"}, {Name: "Content-Type", Value: "application/json"}},
				Raw:    []byte("POST /?token=topsecret HTTP/1.1\r\nHost: a.example\r\nCookie: id=topsecret\r\nContent-Type: application/json\r\n\r\n"),
			},
			RequestBody: body.Ref(),
			Response:    &flow.ResponseHead{Status: 200, Proto: flow.HTTP11, Header: flow.Header{{Name: "Set-Cookie", Value: "id=topsecret"}}},
		},
	}
	if err := errors.Join(d.Put(t.Context(), f), body.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
}

// --redact acts wherever it is taken: on what is printed and on each format.
func TestFlowsRedact(t *testing.T) {
	dir := t.TempDir()
	secretExchange(t, dir)
	commands := map[string]string{
		"list":        "flows list",
		"list heads":  "flows list --flow-detail 2",
		"list bodies": "flows list --flow-detail 4",
		"list json":   "flows list --flow-detail 4 --json",
		"show":        "flows show -f ~all",
		"show json":   "flows show -f ~all --json",
		"show hex":    "flows show -f ~all --view hex",
	}
	for _, format := range append([]string{"mitm", "har", "json", "pcapng"}, command.Formats()...) {
		commands["export "+format] = "flows export --format " + format
	}
	read := func(line string) string { return said(t, append(strings.Fields(line), "--store", dir)...) }
	has := func(out string) bool {
		encoded := base64.StdEncoding.EncodeToString([]byte(`{"password":"topsecret`))
		return strings.Contains(out, "topsecret") || strings.Contains(out, encoded[:20]) || strings.Contains(out, "74 6f 70 73 65 63 72 65 74")
	}
	for name, line := range commands {
		if !has(read(line)) {
			t.Errorf("%s: the secret is not there to begin with", name)
		}
		if out := read(line + " --redact secrets"); has(out) || !strings.Contains(out, "REDACTED") {
			t.Errorf("%s, redacted: %s", name, out)
		}
		if out := read(line + " -f topsecret --redact secrets"); !strings.Contains(out, "REDACTED") {
			t.Errorf("%s: the filter does not see what is left out: %s", name, out)
		}
	}
	// What is redacted and written as lines is read back.
	file := filepath.Join(t.TempDir(), "f.ndjson")
	said(t, "flows", "export", "--store", dir, "-o", file, "--redact", "json:name")
	if out := said(t, "flows", "show", "-r", file, "-f", "~all"); has(out) || strings.Contains(out, "ann") || strings.Count(out, "REDACTED") < 4 {
		t.Errorf("read back: %s", out)
	}
}
