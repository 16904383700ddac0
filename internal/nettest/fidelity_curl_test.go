package nettest_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A curling is one command line of curl. URL is what all paths begin with.
type curling struct {
	scenario string
	args     []string
	stdin    string // what it is fed, without an end
}

// curlings are curl's scenarios.
var curlings = []curling{
	{scenario: "get", args: []string{"URL/get"}},
	{scenario: "head", args: []string{"-I", "URL/get"}},
	{scenario: "error", args: []string{"URL/error"}},
	{scenario: "post", args: []string{"-d", "a=1&b=2", "URL/post"}},
	{scenario: "put-chunked", args: []string{"-H", "Transfer-Encoding: chunked", "-T", "large.bin", "-H", "Expect:", "URL/post"}},
	{scenario: "put", args: []string{"-T", "large.bin", "-H", "Expect:", "URL/post"}},
	{scenario: "continue", args: []string{"-H", "Expect: 100-continue", "-d", "a=1&b=2", "URL/post"}},
	{scenario: "put-continue", args: []string{"-H", "Expect: 100-continue", "-T", "large.bin", "URL/post"}},
	{scenario: "refuse", args: []string{"-H", "Expect: 100-continue", "-T", "large.bin", "URL/refuse"}},
	{scenario: "sequential", args: []string{"URL/get", "URL/get", "URL/chunked", "URL/none", "URL/gzip", "URL/get"}},
	{scenario: "parallel", args: []string{"-Z", "--parallel-immediate", "URL/meet", "URL/meet", "URL/meet", "URL/meet"}},
	{scenario: "large", args: []string{"URL/large"}},
	{scenario: "redirect", args: []string{"-L", "URL/redirect"}},
	{scenario: "cookie", args: []string{"-b", "", "URL/cookie", "URL/get"}},
	{scenario: "gzip", args: []string{"-H", "Accept-Encoding: gzip", "URL/gzip"}},
	{scenario: "odd", args: []string{
		"-H", "x-oDD: 1", "-H", "X-odd: 2", "-H", "X-Empty;", "-H", "Accept:", "-H", "COOKIE: b=2", "-H", "User-agent: ", "-X", "oDD", "URL/get?q=%7e|{}\"",
	}},
	{scenario: "chunked", args: []string{"URL/chunked"}},
	{scenario: "trailers", args: []string{"URL/trailers"}},
	{scenario: "hints", args: []string{"URL/hints"}},
	{scenario: "none", args: []string{"URL/none"}},
	{scenario: "unmodified", args: []string{"URL/unmodified"}},
	{scenario: "http-1-0", args: []string{"-0", "URL/close"}},
	{scenario: "close", args: []string{"URL/close", "URL/get"}},
	{scenario: "until-close", args: []string{"URL/until-close"}},
	{scenario: "until-cut", args: []string{"URL/until-cut"}},
	{scenario: "finish", args: []string{"URL/finish"}},
	{scenario: "cut", args: []string{"URL/cut"}},
	{scenario: "reset", args: []string{"URL/reset"}},
	{scenario: "hang-up", args: []string{"URL/hang-up"}},
	{scenario: "vanish", args: []string{"URL/vanish"}},
	{scenario: "stall", args: []string{"--max-filesize", "1", "URL/stall"}},
	{scenario: "flood", args: []string{"--max-filesize", "1", "URL/flood"}},
	{scenario: "upgrade", args: []string{"--http2", "URL/get"}},
	{scenario: "go-away", args: []string{"URL/go-away", "URL/get"}},
	{scenario: "refused", args: []string{"URL/refused"}},
	{scenario: "abandon", args: []string{"URL/abandon"}},
	{scenario: "early", args: []string{"--max-filesize", "1", "-H", "Expect:", "-T", ".", "URL/early"}, stdin: "0123456789"},
}

// curlings1 are those of HTTP/1 alone, curlings2 of HTTP/2.
var (
	curlings1 = []string{"put-chunked", "refuse", "http-1-0", "close", "until-close", "until-cut", "upgrade"}
	curlings2 = []string{"go-away", "refused", "abandon"}
)

// curl visits the origin with one curl a scenario. It prints the responses as
// they came, and its exit code.
func visitByCurl(w *world, v visiting) string {
	w.write("large.bin", strings.Repeat("0123456789abcdef", 1<<16))
	var out strings.Builder
	for _, c := range curlings {
		args := []string{"-sSig", "--no-progress-meter", "--raw", "--cacert", v.cert}
		if slices.Contains(map[bool][]string{true: curlings1, false: curlings2}[v.http2], c.scenario) {
			continue
		}
		if v.http2 && v.scheme == "http" {
			args = append(args, "--http2-prior-knowledge")
		}
		for _, a := range c.args {
			args = append(args, strings.Replace(a, "URL", v.url("/"+c.scenario), 1))
		}
		cmd := w.command(w.Client, "curl", args...)
		said := newOutput()
		cmd.Stdout, cmd.Stderr = said, said
		if c.stdin != "" {
			in, err := cmd.StdinPipe()
			if err != nil {
				w.t.Fatal(err)
			}
			_, _ = io.WriteString(in, c.stdin) // the pipe holds it
		}
		err := cmd.Run()
		for line := range strings.Lines(said.String()) {
			fmt.Fprintf(&out, "%s %q\n", c.scenario, line)
		}
		fmt.Fprintf(&out, "%s exit code %d\n", c.scenario, exitCode(err))
	}
	return out.String()
}
