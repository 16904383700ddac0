package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/flow"
	"transom/store"
)

// someExchanges are flows of three hosts, with bodies.
func someExchanges(t *testing.T, dir string) {
	t.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	for i, host := range []string{"b.example", "a.example", "c.example"} {
		w := d.NewBody()
		if _, err := io.WriteString(w, strings.Repeat("word ", 10*(i+1))); err != nil {
			t.Fatal(err)
		}
		at := began.Add(time.Duration(i) * time.Minute)
		f := &flow.Flow{
			ID: flow.NewID(at), Start: at, End: at.Add(time.Second), State: flow.Done,
			Conn: &flow.Conn{ID: flow.NewID(at), Start: at, Network: "tcp", Client: netip.MustParseAddrPort("192.0.2.7:50000"), Dst: netip.MustParseAddrPort("10.9.0.2:80"), Layers: []flow.Layer{{Proto: "http/1.1", Host: host}}},
			Detail: &flow.HTTP{
				Request: &flow.RequestHead{
					Method: "GET", Scheme: "http", Authority: host, Target: fmt.Sprint("/", i), Proto: flow.HTTP11,
					Header: flow.Header{{Name: "Host", Value: host}},
				},
				Response: &flow.ResponseHead{
					Status: 200 + 100*i, Reason: "Fine", Proto: flow.HTTP11,
					Header: flow.Header{{Name: "Content-Type", Value: "text/plain"}},
				},
				ResponseBody: w.Ref(),
			},
		}
		f.ID[14], f.ID[15] = 0xab, byte(i)
		if err := errors.Join(d.Put(t.Context(), f), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// said runs a command line that succeeds, and returns what it prints.
func said(t *testing.T, args ...string) string {
	t.Helper()
	var out, log bytes.Buffer
	if code := run(context.Background(), args, strings.NewReader(""), &out, &log); code != exitOK {
		t.Fatalf("transom %s: exit code %d: %s", strings.Join(args, " "), code, &log)
	}
	return out.String()
}

// hosts are the hosts that lines are of, by their first letter.
func hosts(lines string) (s string) {
	for line := range strings.Lines(lines) {
		_, after, _ := strings.Cut(line, "http://")
		s += after[:1]
	}
	return s
}

func TestFlowsList(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"bac", nil},
		{"cab", []string{"--sort", "-time"}},
		{"abc", []string{"--sort", "host"}},
		{"ca", []string{"--sort", "-size", "--limit", "2"}},
		{"b", []string{"-f", "~c 200"}},
		{"ac", []string{"-f", "!~c 200"}},
	} {
		if got := hosts(said(t, append([]string{"flows", "list", "--store", dir}, tc.args...)...)); got != tc.want {
			t.Errorf("%q: %s, want %s", tc.args, got, tc.want)
		}
	}
	line, _, _ := strings.Cut(said(t, "flows", "list", "--store", dir), "\n")
	if _, rest, ok := strings.Cut(line, "ab00 2026-03-04 05:06:07.000 192.0.2.7:50000"); !ok || !strings.HasSuffix(rest, "200 text/plain 50b 1s") {
		t.Errorf("a line is %q", line)
	}
}

// A page says where the next one begins.
func TestFlowsPages(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	got, after := "", ""
	for range 3 {
		args := []string{"flows", "list", "--store", dir, "--sort", "-host", "--limit", "1"}
		if after != "" {
			args = append(args, "--after", after)
		}
		var out, log bytes.Buffer
		if code := run(context.Background(), args, strings.NewReader(""), &out, &log); code != exitOK {
			t.Fatal(log.String())
		}
		got += hosts(out.String())
		_, after, _ = strings.Cut(strings.TrimSpace(log.String()), "--after ")
	}
	if got != "cba" || after != "" {
		t.Errorf("the pages are of %s, and then there is %q", got, after)
	}
}

// A flow to go on behind is named as lines name it, if that is one.
func TestFlowsAfter(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	first, _, _ := strings.Cut(said(t, "flows", "list", "--store", dir, "--sort", "host"), " ")
	if got := hosts(said(t, "flows", "list", "--store", dir, "--sort", "host", "--after", first)); got != "bc" {
		t.Errorf("behind %s are %s", first, got)
	}
	for after, want := range map[string]string{"ab0": "want the ID", "zzzz": "want the ID", "ffff": "there is no flow ffff"} {
		if code, log := failing("flows", "list", "--store", dir, "--after", after); code == exitOK || !strings.Contains(log, want) {
			t.Errorf("--after %s: exit code %d, %s", after, code, log)
		}
	}
	f := flowsList{after: "0001"}
	two := fixed{{ID: flow.ID{1, 15: 1}}, {ID: flow.ID{2, 15: 1}}}
	cmd := flowsListCommand()
	cmd.SetContext(t.Context())
	var id flow.ID
	if err := f.behind(cmd, two, &id); err == nil || !strings.Contains(err.Error(), "give more of it") {
		t.Errorf("of two: %v", err)
	}
}

// A fixed recording has these flows.
type fixed []*flow.Flow

func (f fixed) Flows(_ context.Context, q store.Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		for _, x := range f {
			if q.Match(x) && !yield(x, nil) {
				return
			}
		}
	}
}

func (fixed) OpenBody(context.Context, flow.BodyRef) (io.ReadSeekCloser, error) {
	return nil, store.ErrGone
}

func (fixed) Close() error { return nil }

// failing runs a command line, and returns its exit code and what it says on stderr.
func failing(args ...string) (int, string) {
	var out, log bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(""), &out, &log)
	return code, log.String()
}

// Where a filter finds nothing it is said how it was read; to people, and only then.
func TestFlowsNone(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	for _, tc := range []struct{ args, filter, want string }{
		{"list", "~c 500-599", "transom: there is no flow to list where response code is 500 and url matches /-599/i\n"},
		{"show", "~c 500", "transom: there is no flow to show where "},
		{"stats", "~c 500", "transom: there is no flow to count where "},
		{"export --format curl", "~c 500", "transom: there is no flow to export where "},
		{"prune", "~c 500", "transom: there is no flow to delete where "},
		{"list --json", "~c 500", ""},
		{"show --json", "~c 500", ""},
		{"stats --json", "~c 500", ""},
		{"list", "~c 200", ""},
		{"show", "~c 200", ""},
		{"stats", "~c 200", ""},
		{"export --format curl", "~c 200", ""},
		{"prune --dry-run", "~c 200", ""},
		{"list --limit 1", "~c 400", ""},
	} {
		code, log := failing(append(append([]string{"flows"}, strings.Fields(tc.args)...), "--store", dir, "-f", tc.filter)...)
		if code != exitOK || !strings.HasPrefix(log, tc.want) || (log == "") != (tc.want == "") {
			t.Errorf("%s -f %s: exit code %d, %q", tc.args, tc.filter, code, log)
		}
	}
}

// What was there already is counted apart.
func TestFlowsImportAgain(t *testing.T) {
	dir, other := t.TempDir(), filepath.Join(t.TempDir(), "s")
	someExchanges(t, dir)
	file := filepath.Join(t.TempDir(), "f.mitm")
	said(t, "flows", "export", "--store", dir, "-o", file)
	for _, tc := range []struct{ filter, want string }{
		{"~d ^a", "transom: put 1 flows into " + other + "\n"},
		{"~all", "transom: put 3 flows into " + other + ", 1 of them in the place of what was there already\n"},
	} {
		if code, log := failing("flows", "import", "--store", other, "-f", tc.filter, file); code != exitOK || log != tc.want {
			t.Errorf("exit code %d: %q, want %q", code, log, tc.want)
		}
	}
	for _, name := range []string{"f.har", "f.mitm", "f.json"} { // which have the same IDs each time
		other, file := filepath.Join(t.TempDir(), "s"), filepath.Join(t.TempDir(), name)
		said(t, "flows", "export", "--store", dir, "-o", file)
		said(t, "flows", "import", "--store", other, file)
		if _, log := failing("flows", "import", "--store", other, file); !strings.Contains(log, "put 3 flows into "+other+", 3 of them") {
			t.Errorf("%s again: %s", name, log)
		}
	}
}

// What nothing here compresses as is not written under its name.
func TestOtherCompression(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"flows", "export", "--store", dir, "--format", "mitm", "-o", "x.bz2"},
		{"listen", "-w", "x.mitm.bz2"},
		{"listen", "--hardump", "x.har.XZ"},
		{"listen", "--pcap", "x.pcapng.zip"},
		{"listen", "-o", "x.7z"},
	} {
		if code, log := failing(args...); code != exitUsage || !strings.Contains(log, "the names of files that are compressed end in .gz or .zst") {
			t.Errorf("%q: exit code %d, %s", args, code, log)
		}
	}
}

func TestFlowsShow(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	got := said(t, "flows", "show", "--store", dir, "ab01")
	for _, want := range []string{"> GET /1 HTTP/1.1\n", "> Host: a.example\n", "< HTTP/1.1 300 Fine\n", strings.Repeat("word ", 20), "100b in all"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "b.example") {
		t.Errorf("another flow is shown:\n%s", got)
	}
	got = said(t, "flows", "show", "--store", dir, "--view", "hex", "ab01")
	if !strings.Contains(got, "00000000  77 6f 72 64 20") || strings.Contains(got, "word word word word") {
		t.Errorf("with --view hex:\n%s", got)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"flows", "show", "--store", dir, "--view", "no", "ab01"}, nil, &out, &errs); code != 2 || !strings.Contains(errs.String(), "grpc") {
		t.Errorf("with --view no: exit %d, %s", code, errs.String())
	}
}

// What is exported can be read again: as it was, for all that the format has.
func TestFlowsExport(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	files := t.TempDir()
	for _, name := range []string{"a.mitm", "b.mitm.gz", "c.flow.zst", "d.dump", "d.zhar", "d.har", "e.har.gz", "f.har.zst", "g.ndjson", "h.json.gz"} {
		file := filepath.Join(files, name)
		said(t, "flows", "export", "--store", dir, "-f", "!~d b.example", "-o", file)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if got := hosts(said(t, "flows", "list", "-r", file)); got != "ac" {
			t.Errorf("%s has flows of %s", name, got)
		}
		other := filepath.Join(files, name+" store")
		said(t, "flows", "import", "--store", other, "-f", "~d c.example", file)
		if got := said(t, "flows", "show", "--store", other, "-f", "~all"); !strings.Contains(got, strings.Repeat("word ", 30)) || strings.Contains(got, "a.example") {
			t.Errorf("%s, imported: %s", name, got)
		}
	}
	if got := said(t, "flows", "export", "--store", dir, "--format", "curl", "-f", "~d a.example"); !strings.HasPrefix(got, "curl ") || !strings.HasSuffix(got, "http://a.example/1\n") {
		t.Errorf("as curl: %q", got)
	}
	if got := said(t, "flows", "export", "--store", dir, "--format", "json"); strings.Count(got, `"event":"end"`) != 3 {
		t.Errorf("as JSON: %s", got)
	}
	for _, format := range []string{"pcapng", "har", "mitm"} {
		plain := said(t, "flows", "export", "--store", dir, "--format", format)
		redacted := said(t, "flows", "export", "--store", dir, "--format", format, "--redact", "body:word")
		if !strings.Contains(plain, "word word") || strings.Contains(redacted, "word word") || !strings.Contains(redacted, "REDACTED REDACTED") {
			t.Errorf("as %s: %q, and %q", format, plain, redacted)
		}
	}
}

// What sends requests again is a program, of however many of them it has.
func TestFlowsExportPrograms(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	files := t.TempDir()
	for name, want := range map[string]string{"a.sh": "curl ", "b.py": "requests.request(", "c.js": "await fetch(", "d.mjs": "await fetch("} {
		file := filepath.Join(files, name)
		said(t, "flows", "export", "--store", dir, "-o", file)
		if got, err := os.ReadFile(file); err != nil || bytes.Count(got, []byte(want)) != 3 || bytes.Contains(got, []byte("const ")) {
			t.Errorf("%s is %s: %v", name, got, err)
		}
	}
	file := filepath.Join(files, "e.go")
	if code, log := failing("flows", "export", "--store", dir, "-o", file); code != exitUsage || !strings.Contains(log, "one request: choose it with -f") {
		t.Errorf("Go: exit code %d, %s", code, log)
	}
	said(t, "flows", "export", "--store", dir, "-o", file, "-f", "~d ^a")
}

// What can be read of a damaged file is written, and what can't is said.
func TestFlowsExportSaves(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	files := t.TempDir()
	bad, good := filepath.Join(files, "bad.mitm"), filepath.Join(files, "good.mitm")
	said(t, "flows", "export", "--store", dir, "-o", bad)
	f, err := os.OpenFile(bad, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("12:no"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	if code := run(context.Background(), []string{"flows", "export", "-r", bad, "-o", good}, strings.NewReader(""), &out, &log); code != exitFailed {
		t.Errorf("exit code %d: %s", code, &log)
	}
	if !strings.Contains(log.String(), "bad.mitm: offset") {
		t.Errorf("it says %s", &log)
	}
	if got := hosts(said(t, "flows", "list", "-r", good)); got != "bac" {
		t.Errorf("of %s is saved", got)
	}
}

// What can't be written leaves what is there as it was.
func TestFlowsExportKeeps(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	files := t.TempDir()
	name := filepath.Join(files, "f.mitm")
	if err := os.WriteFile(name, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := replace(name, io.Discard, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.file.Close(); err != nil { // a disk that takes nothing
		t.Fatal(err)
	}
	x := exporter{cmd: flowsExportCommand(), from: openedStore(t, dir), takes: func(*flow.Flow) bool { return true }}
	x.cmd.SetContext(t.Context())
	if err := x.write(&flowsExport{format: "mitm", out: name}, r); err == nil {
		t.Error("it could be written")
	}
	if err := r.giveUp(); err == nil {
		t.Error("a closed file could be closed")
	}
	left, err := os.ReadDir(files)
	if text, _ := os.ReadFile(name); err != nil || string(text) != "as it was" || len(left) != 1 {
		t.Errorf("%q, and %d files: %v", text, len(left), err)
	}
}

func openedStore(t *testing.T, dir string) recording {
	t.Helper()
	r, err := openStore(t.Context(), dir, "", false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Looking changes nothing, and needs no right to.
func TestFlowsOnlyLook(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	before := listing(t, dir)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"list", "stats", "show -f ~all", "export --format json", "list --sort size"} {
		said(t, append([]string{"flows"}, append(strings.Fields(args), "--store", dir)...)...)
	}
	if d := cmp.Diff(before, listing(t, dir)); d != "" {
		t.Error(d)
	}
}

// Damage is said, and what is whole is there.
func TestFlowsDamage(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(b, []byte("a.example")) // in a head
	b[i] ^= 1
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	run(context.Background(), []string{"flows", "list", "--store", dir}, strings.NewReader(""), &out, &log)
	if !strings.Contains(log.String(), "0000000001.seg") || !strings.Contains(out.String(), "b.example") || !strings.Contains(out.String(), "c.example") {
		t.Errorf("%s%s", &out, &log)
	}
}

// TestFlowsCheck: damage to what nobody asks for is found by --check.
func TestFlowsCheck(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	said(t, "flows", "stats", "--store", dir, "--check")
	name := filepath.Join(dir, "0000000001.seg")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[64+16+10] ^= 1 // in the first record, a body
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	said(t, "flows", "stats", "--store", dir)
	var out, log bytes.Buffer
	if code := run(context.Background(), []string{"flows", "stats", "--store", dir, "--check"}, strings.NewReader(""), &out, &log); code == exitOK || !strings.Contains(log.String(), "damaged: 0000000001.seg: ") {
		t.Errorf("exit code %d: %s%s", code, &out, &log)
	}
	log.Reset()
	if code := run(context.Background(), []string{"flows", "stats", "-r", name, "--check"}, strings.NewReader(""), &out, &log); code == exitOK {
		t.Error("a file was checked")
	}
}

// A pipe is read as a file is.
func TestFlowsStdin(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	saved := said(t, "flows", "export", "--store", dir, "--format", "mitm")
	var out, log bytes.Buffer
	code := run(context.Background(), []string{"flows", "list", "-r", "-", "--limit", "2"}, strings.NewReader(saved), &out, &log)
	if code != exitOK || hosts(out.String()) != "ba" {
		t.Errorf("exit code %d: %s%s", code, &out, &log)
	}
}

// listing has names, sizes and times of what is in a directory.
func listing(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprint(e.Name(), info.Size(), info.ModTime()))
	}
	return list
}

// An encrypted store is read with its key alone.
func TestFlowsKey(t *testing.T) {
	dir, plain, key := filepath.Join(t.TempDir(), "s"), t.TempDir(), filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("correct horse battery staple"), 0o600); err != nil {
		t.Fatal(err)
	}
	someExchanges(t, plain)
	file := filepath.Join(t.TempDir(), "f.mitm")
	said(t, "flows", "export", "--store", plain, "-o", file)
	said(t, "flows", "import", "--store", dir, "--store-key", key, file)
	if got := hosts(said(t, "flows", "list", "--store", dir, "--store-key", key)); got != "bac" {
		t.Errorf("%s are there", got)
	}
	var out, log bytes.Buffer
	if code := run(context.Background(), []string{"flows", "list", "--store", dir}, strings.NewReader(""), &out, &log); code != exitUsage || !strings.Contains(log.String(), "is encrypted: name the file with the key by --store-key") {
		t.Errorf("without the key: exit code %d, %s%s", code, &out, &log)
	}
	if err := os.WriteFile(key, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"flows", "import", "--store", filepath.Join(t.TempDir(), "clear"), "--store-key", key, file},
		{"listen", "--store", filepath.Join(t.TempDir(), "clear"), "--store-key", key},
	} {
		log.Reset()
		if code := run(context.Background(), args, strings.NewReader(""), &out, &log); code != exitUsage || !strings.Contains(log.String(), "it is empty") {
			t.Errorf("%v with an empty key: exit code %d, %s", args, code, &log)
		}
	}
}

func TestFlowsStats(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	got := said(t, "flows", "stats", "--store", dir, "--hosts", "1")
	want := `flows  failed  traffic  
3      0       300b     in all, 0 of them not ended, from 2026-03-04 05:06:07 to 2026-03-04 05:08:07
3      0       300b     http
1      0       100b     a.example
                        and 2 hosts more
on disk: SIZE in 1 files
`
	if got = regexp.MustCompile(`on disk: [0-9.]+[a-z]+ in`).ReplaceAllString(got, "on disk: SIZE in"); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestFlowsPrune(t *testing.T) {
	dir := t.TempDir()
	someExchanges(t, dir)
	for _, tc := range []struct{ args, said, left string }{
		{"-f|~d ^a|--dry-run", "would delete 1 flows\n", "bac"},
		{"-f|~all|--keep|2", "deleted 1 flows\n", "ac"},
		{"--older-than|9000d", "deleted 0 flows\n", "ac"},
		{"-f|~d ^c|--older-than|1d", "deleted 1 flows\n", "a"},
		{"-f|~all", "deleted 1 flows\n", ""},
	} {
		if got := said(t, append([]string{"flows", "prune", "--store", dir}, strings.Split(tc.args, "|")...)...); got != tc.said {
			t.Errorf("%s: %q, want %q", tc.args, got, tc.said)
		}
		if got := hosts(said(t, "flows", "list", "--store", dir)); got != tc.left {
			t.Errorf("%s: %s are left, want %s", tc.args, got, tc.left)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "0000000001.seg")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the room is not given back: %v", err)
	}
}
