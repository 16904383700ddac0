package nettest_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// nghttpings are nghttp's scenarios.
var nghttpings = []curling{
	{scenario: "get", args: []string{"URL/get"}},
	{scenario: "hpack", args: []string{"URL/get", "URL/cookie", "URL/gzip", "URL/none"}},
	{scenario: "many", args: []string{"-m", "5", "URL/get"}},
	{scenario: "no-dependencies", args: []string{"--no-dep", "--weight", "200", "URL/get"}},
	{scenario: "windows", args: []string{"-w", "20", "-W", "18", "--header-table-size", "1000", "--encoder-header-table-size", "0", "URL/large"}},
	{scenario: "small-frames", args: []string{"--max-concurrent-streams", "7", "-b", "10", "URL/get"}},
	{scenario: "post", args: []string{"-d", "large.bin", "-H", "x-OdD: 1", "-H", "x-odd: 2", "URL/post"}},
	{scenario: "trailers", args: []string{"-d", "large.bin", "--trailer", "x-sum: 1", "URL/trailers"}},
	{scenario: "continue", args: []string{"-d", "large.bin", "--expect-continue", "URL/post"}},
	{scenario: "upgrade-no", args: []string{"--no-content-length", "-d", "large.bin", "URL/post"}},
	{scenario: "hints", args: []string{"URL/hints"}},
	{scenario: "reset", args: []string{"URL/reset"}},
	{scenario: "go-away", args: []string{"URL/go-away"}},
	{scenario: "finish", args: []string{"URL/finish"}},
}

// visitByNghttp visits with nghttp, which prints the frames that it receives.
func visitByNghttp(w *world, v visiting) string {
	w.write("large.bin", strings.Repeat("0123456789abcdef", 1<<12))
	var out strings.Builder
	for _, c := range nghttpings {
		args := []string{"-nv"}
		for _, a := range c.args {
			args = append(args, strings.Replace(a, "URL", v.url("/"+c.scenario), 1))
		}
		stdout, stderr, err := w.try(w.Client, "nghttp", args...)
		for _, line := range nghttpSays(stdout) {
			fmt.Fprintf(&out, "%s %s\n", c.scenario, line)
		}
		fmt.Fprintf(&out, "%s %q exit code %d\n", c.scenario, stderr, exitCode(err))
	}
	return out.String()
}

// nghttpSays picks the fields and the errors that nghttp receives out of what it
// prints, stream by stream.
func nghttpSays(said string) (lines []string) {
	stream := regexp.MustCompile(`stream_id=\d+`)
	told := regexp.MustCompile(`^\[ *[\d.]+\] (recv \(stream_id=\d+(?:, sensitive)?\) .*|recv (?:GOAWAY|RST_STREAM).*)`)
	for line := range strings.Lines(said) {
		if m := told.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			lines = append(lines, m[1])
		} else if strings.Contains(line, "error_code") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int { // the order of answers is the origin's
		return strings.Compare(stream.FindString(a), stream.FindString(b))
	})
	return lines
}

// visitByGo2 visits with net/http as a program sets it that has a mind of its
// own.
func visitByGo2(w *world, v visiting) string {
	g := &going{w: w, v: v}
	for _, scenario := range []string{"get", "post", "early", "reset", "stall"} {
		tr := g.transport()
		tr.DisableCompression = true
		tr.MaxResponseHeaderBytes = 12345
		tr.HTTP2 = &http.HTTP2Config{
			MaxReadFrameSize: 1 << 18, MaxDecoderHeaderTableSize: 1000, MaxEncoderHeaderTableSize: 200,
			MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 123456,
		}
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetHTTP2(true)
		tr.Protocols.SetUnencryptedHTTP2(true)
		c := &http.Client{Transport: tr}
		switch scenario {
		case "early", "stall":
			g.leave(c, scenario, strings.NewReader("0123456789"))
		default:
			for range 3 {
				g.exchange(c, scenario, scenario, http.MethodPost, strings.NewReader("a=1"), func(r *http.Request) {
					r.Header = http.Header{"X-Long": {strings.Repeat("long", 40), "2"}} // several names have no certain order
				})
			}
		}
		tr.CloseIdleConnections()
	}
	return g.out.String()
}
