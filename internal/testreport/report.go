package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// A report is told what happens, as "go test -json" tells it, prints it, and
// keeps count. A test with subtests is counted only if it failed and none of
// them did.
type report struct {
	out                     io.Writer
	packages                map[string]*pkg
	builds                  map[string]*strings.Builder // by import path, not yet printed
	passed, failed, skipped int
	skips                   []string
	location                *regexp.Regexp // what t.Log puts before a text
	good                    bool           // valid after end
}

// A pkg is a package whose tests run.
type pkg struct {
	tests map[string]*test
	order []*test
	lines []string // output that belongs to no test
}

// A test is one test or subtest.
type test struct {
	name   string
	result string // "pass", "fail", "skip"; "" while it runs
	lines  []string
	parent bool // it has subtests
	blamed bool // one of them failed
}

// An event is a line of go test -json; see go doc test2json and go help
// buildjson.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build events
	FailedBuild                   string
}

func newReport(out io.Writer) *report {
	return &report{
		out: out, packages: map[string]*pkg{}, builds: map[string]*strings.Builder{},
		location: regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `),
	}
}

// read takes events until the stream ends. What is not an event is printed as
// it is. Packages that never came to an end count as failed.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil {
				fmt.Fprint(r.out, line)
			} else {
				r.event(e)
			}
		}
		if err != nil {
			r.unfinished()
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read events: %w", err)
		}
	}
}

// unfinished closes what was cut off.
func (r *report) unfinished() {
	var names []string
	for name := range r.packages {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		r.packages[name].lines = append(r.packages[name].lines, "FAIL\t"+name+"\t[did not finish]\n")
		r.finish(name, event{Action: "fail"})
	}
	for path, text := range r.builds {
		fmt.Fprint(r.out, text)
		delete(r.builds, path)
	}
}

func (r *report) event(e event) {
	switch {
	case e.Action == "build-output":
		if r.builds[e.ImportPath] == nil {
			r.builds[e.ImportPath] = new(strings.Builder)
		}
		r.builds[e.ImportPath].WriteString(e.Output)
	case e.Action == "build-fail":
		if text := r.builds[e.ImportPath]; text != nil {
			fmt.Fprint(r.out, text)
			delete(r.builds, e.ImportPath)
		}
	case e.Package == "":
	case e.Test != "":
		r.test(e)
	case e.Action == "output":
		p := r.pkg(e.Package)
		p.lines = append(p.lines, e.Output)
	case slices.Contains([]string{"pass", "fail", "skip"}, e.Action):
		r.finish(e.Package, e)
	}
}

func (r *report) pkg(name string) *pkg {
	p := r.packages[name]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		r.packages[name] = p
	}
	return p
}

// test takes an event of one test.
func (r *report) test(e event) {
	p := r.pkg(e.Package)
	t := p.tests[e.Test]
	if t == nil {
		t = &test{name: e.Test}
		p.tests[e.Test] = t
		p.order = append(p.order, t)
		if up := p.above(t); up != nil {
			up.parent = true
		}
	}
	switch e.Action {
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			t.lines = append(t.lines, e.Output)
		}
	case "pass", "fail", "skip":
		t.result = e.Action
	}
}

// above returns the test that t is a subtest of, nil if it is none.
func (p *pkg) above(t *test) *test {
	i := strings.LastIndexByte(t.name, '/')
	if i < 0 {
		return nil
	}
	return p.tests[t.name[:i]]
}

// finish prints a package whose tests are over, and counts them.
func (r *report) finish(name string, e event) {
	p := r.pkg(name)
	delete(r.packages, name)
	before := r.failed
	for _, t := range slices.Backward(p.order) { // subtests come after their parents
		if t.result == "" && e.Action == "fail" {
			t.result = "fail"
			t.lines = append([]string{"--- FAIL: " + t.name + " (did not finish)\n"}, t.lines...)
		}
		if up := p.above(t); up != nil && t.result == "fail" {
			up.blamed = true
		}
	}
	for _, t := range p.order {
		r.count(name, t)
		if t.result == "fail" {
			r.show(t)
		}
	}
	if e.Action == "fail" && r.failed == before {
		r.failed++ // a build, TestMain, an exit in the middle
	}
	for _, line := range p.lines {
		if e.Action == "fail" || strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "?   \t") {
			fmt.Fprint(r.out, line)
		}
	}
}

func (r *report) count(pkg string, t *test) {
	switch {
	case t.result == "fail" && !t.blamed:
		r.failed++
	case t.result == "skip":
		r.skip(pkg, t.name, r.reason(t))
	case t.result == "pass" && !t.parent:
		r.passed++
	}
}

// show prints a failed test as go test does: its result first.
func (r *report) show(t *test) {
	result := func(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " "), "--- FAIL: ") }
	for _, line := range t.lines {
		if result(line) {
			fmt.Fprint(r.out, line)
		}
	}
	for _, line := range t.lines {
		if !result(line) {
			fmt.Fprint(r.out, line)
		}
	}
}

// reason finds in a skipped test's output what it said.
func (r *report) reason(t *test) string {
	var said []string
	for _, line := range t.lines {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(strings.TrimSpace(line), "--- SKIP: ") {
			continue
		}
		if line = strings.TrimSpace(r.location.ReplaceAllString(line, "")); line != "" {
			said = append(said, line)
		}
	}
	if said == nil {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

func (r *report) skip(where, test, why string) {
	r.skipped++
	r.skips = append(r.skips, strings.TrimSpace(where+" "+test)+": "+why)
}

// end prints what was skipped and the numbers, and decides: without failures
// all is good, unless everything was to run.
func (r *report) end(all bool) {
	r.good = r.failed == 0 && (!all || r.skipped == 0)
	if r.skipped > 0 {
		fmt.Fprintln(r.out, "\nskipped:")
		for _, s := range r.skips {
			fmt.Fprintln(r.out, "  "+s)
		}
		if all {
			fmt.Fprintln(r.out, "TRANSOM_TEST_ALL=1: a skip is a failure")
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
}
