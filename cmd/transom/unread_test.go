package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transom/flow"
	"transom/store"
)

// damagedBody records some exchanges, and changes a byte of the second one's body.
func damagedBody(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	someExchanges(t, dir)
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte(strings.Repeat("word ", 20)))+50] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A body that can't be read is said, in whatever its flow is written, and all else is written.
func TestFlowsDamagedBody(t *testing.T) {
	dir := damagedBody(t)
	for _, args := range []string{
		"export --format mitm", "export --format har", "export --format pcapng", "export --format json", "export --format raw_response",
		"export --format mitm --redact secrets", "export --format har --redact secrets", "export --format json --redact secrets",
		"show -f ~all", "show -f ~all --json", "show -f ~all --redact secrets", "list --flow-detail 3",
	} {
		t.Run(args, func(t *testing.T) {
			var out, log bytes.Buffer
			code := run(context.Background(), append(append([]string{"flows"}, strings.Fields(args)...), "--store", dir), strings.NewReader(""), &out, &log)
			if code != exitFailed || strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "ab01: the response's body can't be read: 0000000001.seg: ") {
				t.Errorf("exit code %d: %s", code, &log)
			}
			if got := strings.Count(out.String(), strings.Repeat("word ", 10)); got != 1+3 { // 10 times of the first flow, 30 times of the last
				t.Errorf("%d tens of words are written:\n%s", got, &out)
			}
			if (args == "show -f ~all" || strings.HasPrefix(args, "list")) && !strings.Contains(out.String(), "< 100b: can't be read: 0000000001.seg: ") {
				t.Errorf("shown is\n%s", &out)
			}
		})
	}
	said(t, "flows", "list", "--store", dir) // which reads no bodies
	if err := os.Remove(filepath.Join(dir, "index.db")); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	file := filepath.Join(t.TempDir(), "f.har")
	if code := run(context.Background(), []string{"flows", "export", "--store", dir, "-o", file}, strings.NewReader(""), &out, &log); code != exitFailed || !strings.Contains(log.String(), "ab01: the response's body can't be read: 0000000001.seg: ") {
		t.Errorf("without an index: exit code %d: %s", code, &log)
	}
	if got := hosts(said(t, "flows", "list", "-r", file)); got != "bac" {
		t.Errorf("%s are written", got)
	}
}

// A flow whose connection can't be read is written without, and named.
func TestFlowsDamagedConn(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("a.example"))] ^= 1 // connections stand before flows
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // with an index, and without
		for _, args := range []string{"list", "list --limit 1 --sort host", "show -f ~all --json", "export --format json", "stats"} {
			var out, log bytes.Buffer
			code := run(context.Background(), append(append([]string{"flows"}, strings.Fields(args)...), "--store", dir), strings.NewReader(""), &out, &log)
			if code != exitFailed || strings.Count(log.String(), "0000000001.seg") != 1 || !strings.Contains(log.String(), "ab01 is without its connection: 0000000001.seg: ") {
				t.Errorf("%s: exit code %d: %s", args, code, &log)
			}
			if strings.HasPrefix(args, "show") && !strings.Contains(out.String(), "a.example") {
				t.Errorf("%s: it is not there:\n%s", args, &out)
			}
		}
		os.Remove(filepath.Join(dir, "index.db"))
	}
}

func TestFailures(t *testing.T) {
	var f failures
	if err := f.err(); err != nil {
		t.Error(err)
	}
	for range maxFailures + 5 {
		f.add(io.ErrUnexpectedEOF)
	}
	got := f.err().Error()
	if strings.Count(got, "unexpected EOF") != maxFailures || !strings.HasSuffix(got, "\nand 5 more could not be read") {
		t.Error(got)
	}
}

// failingBodies can't be opened, for one reason.
type failingBodies struct{ err error }

func (b failingBodies) OpenBody(context.Context, flow.BodyRef) (io.ReadSeekCloser, error) {
	return nil, b.err
}

// What was dropped, and what nobody waits for any more, is not damaged.
func TestBodiesRead(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("a broken disk")
	handshake := &flow.Flow{ID: flow.ID{1}, Detail: &flow.HTTP{Began: flow.ID{2}, RequestBody: flow.BodyRef{Segment: 7, Kept: 1}}}
	f := &flow.Flow{Detail: &flow.Messages{Log: flow.BodyRef{Segment: 7}}}
	for _, tc := range []struct {
		name string
		ctx  context.Context
		err  error
		of   *flow.Flow
		want string
	}{
		{"damage to what waited for another", t.Context(), broken, &flow.Flow{Detail: &flow.Messages{}}, handshake.ID.String() + ": the request's body can't be read: a broken disk"},
		{"damage", t.Context(), broken, f, f.ID.String() + ": its messages can't be read: a broken disk"},
		{"damage to what waited", t.Context(), broken, nil, "the body of a flow can't be read: a broken disk"},
		{"dropped", t.Context(), store.ErrGone, f, ""},
		{"over", over, broken, f, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var unread failures
			b := &bodiesRead{from: failingBodies{tc.err}, unread: &unread}
			if strings.HasSuffix(tc.name, "another") {
				b.forFlow(handshake)
			}
			b.forFlow(tc.of)
			for range 3 {
				if _, err := b.OpenBody(tc.ctx, flow.BodyRef{Segment: 7, Size: 1, Kept: 1}); !errors.Is(err, tc.err) {
					t.Errorf("it fails with %v", err)
				}
			}
			got := ""
			if err := unread.err(); err != nil {
				got = err.Error()
			}
			if !strings.HasSuffix(got, tc.want) || (got == "") != (tc.want == "") || strings.Contains(got, "\n") {
				t.Errorf("said is %q, want %q", got, tc.want)
			}
		})
	}
}
