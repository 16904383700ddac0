package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReportReads feeds events by hand.
func TestReportReads(t *testing.T) {
	cases := []struct {
		name, in string
		all      bool
		want     string
		bad      bool
	}{
		{name: "nothing", want: "\n0 passed, 0 failed, 0 skipped\n"},
		{name: "not-an-event", in: "go: warning\n{broken\n", want: "go: warning\n{broken\n\n0 passed, 0 failed, 0 skipped\n"},
		{
			name: "passing-tests-are-silent",
			in: `{"Action":"run","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"    x_test.go:3: chatter\n"}
{"Action":"pass","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
{"Action":"output","Package":"m/b","Output":"?   \tm/b\t[no test files]\n"}
{"Action":"skip","Package":"m/b"}
`,
			want: "ok  \tm/a\t0.1s\n?   \tm/b\t[no test files]\n\n1 passed, 0 failed, 0 skipped\n",
		},
		{
			name: "skips-are-listed",
			in: `{"Action":"output","Package":"m/a","Test":"TestX","Output":"    need.go:26: needs: nginx\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"--- SKIP: TestX (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestX"}
{"Action":"skip","Package":"m/a","Test":"TestY"}
{"Action":"pass","Package":"m/a"}
`,
			want: "\nskipped:\n  m/a TestX: needs: nginx\n  m/a TestY: no reason given\n\n0 passed, 0 failed, 2 skipped\n",
		},
		{
			name: "skips-fail-when-all-must-run", all: true, bad: true,
			in: `{"Action":"skip","Package":"m/a","Test":"TestY"}
{"Action":"pass","Package":"m/a"}
`,
			want: "\nskipped:\n  m/a TestY: no reason given\nTRANSOM_TEST_ALL=1: a skip is a failure\n\n0 passed, 0 failed, 1 skipped\n",
		},
		{
			name: "a-parent-is-not-counted-beside-its-subtests", bad: true,
			in: `{"Action":"run","Package":"m/a","Test":"TestX"}
{"Action":"run","Package":"m/a","Test":"TestX/good"}
{"Action":"run","Package":"m/a","Test":"TestX/bad"}
{"Action":"output","Package":"m/a","Test":"TestX/bad","Output":"    x_test.go:9: wrong\n"}
{"Action":"output","Package":"m/a","Test":"TestX/bad","Output":"    --- FAIL: TestX/bad (0.00s)\n"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"--- FAIL: TestX (0.00s)\n"}
{"Action":"pass","Package":"m/a","Test":"TestX/good"}
{"Action":"fail","Package":"m/a","Test":"TestX/bad"}
{"Action":"fail","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t0.1s\n"}
{"Action":"fail","Package":"m/a"}
`,
			want: "--- FAIL: TestX (0.00s)\n    --- FAIL: TestX/bad (0.00s)\n    x_test.go:9: wrong\nFAIL\tm/a\t0.1s\n\n1 passed, 1 failed, 0 skipped\n",
		},
		{
			name: "a-stream-that-breaks-off", bad: true,
			in: `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"    x_test.go:9: so far\n"}
`,
			want: "--- FAIL: TestX (did not finish)\n    x_test.go:9: so far\nFAIL\tm/a\t[did not finish]\n\n0 passed, 1 failed, 0 skipped\n",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(&out)
			if err := r.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			r.end(c.all)
			if out.String() != c.want {
				t.Errorf("printed\n%s\nwant\n%s", out.String(), c.want)
			}
			if r.good == c.bad {
				t.Errorf("good is %v", r.good)
			}
		})
	}
}

// TestRun runs the real go test over the modules in testdata.
func TestRun(t *testing.T) {
	cases := []struct {
		module string
		env    []string
		code   int
		want   []string // regular expressions
	}{
		{"good", nil, 0, []string{`(?m)^ok  \tgood\t`, `good TestSkips: needs: a moon`, `\n2 passed, 0 failed, 1 skipped\n$`}},
		{"good", []string{"TRANSOM_TEST_ALL=1"}, 1, []string{`a skip is a failure`, `\n2 passed, 0 failed, 1 skipped\n$`}},
		{"good", []string{"RACE=1", "CC=no-such-compiler"}, 0, []string{`race detector: needs: a C compiler \(no-such-compiler\)`}},
		{"bad", nil, 1, []string{
			`--- FAIL: TestFails \([^)]*\)\n    x_test.go:\d+: it is wrong`,
			`(?m)^panic: test timed out after 5s`, `running tests:\n\s*TestHangs`, `    x_test.go:\d+: before it hung`,
			`(?m)^FAIL\tbad/hangs\t`,
			`undefined: nothing`, `(?m)^FAIL\tbad/broken \[build failed\]`,
			`panic: on purpose`, `exits in the middle`,
			`(?m)^ok  \tbad/fine\t`, `\n1 passed, 5 failed, 0 skipped\n$`,
		}},
		{"none", nil, 1, []string{`\[setup failed\]`, `\n0 passed, 1 failed, 0 skipped\n$`}},
	}
	for _, c := range cases {
		t.Run(strings.Join(append([]string{c.module}, c.env...), "-"), func(t *testing.T) {
			t.Chdir(unpack(t, c.module))
			var out, errs bytes.Buffer
			env := append(os.Environ(), "TRANSOM_TEST_ALL=", "RACE=", "GOFLAGS=")
			code := run(t.Context(), []string{"-count=1", "-timeout=5s", "./..."}, append(env, c.env...), &out, &errs)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !regexp.MustCompile(want).MatchString(out.String()) {
					t.Errorf("nothing matches %q", want)
				}
			}
			if t.Failed() {
				t.Logf("stdout:\n%s\nstderr:\n%s", &out, &errs)
			}
		})
	}
}

func TestRunWithAWrongFlag(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-p=many"}, os.Environ(), &out, &errs); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if !strings.Contains(errs.String(), "many") {
		t.Errorf("stderr does not say what is wrong:\n%s", &errs)
	}
}

// unpack copies a module from testdata, where its files are called .txt so that
// nobody else builds them.
func unpack(t *testing.T, module string) string {
	t.Helper()
	dir := t.TempDir()
	from := os.DirFS(filepath.Join("testdata", module))
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		to := filepath.Join(dir, strings.TrimSuffix(name, ".txt"))
		if err != nil || d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
