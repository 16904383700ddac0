package nettest_test

import (
	"context"
	"encoding/xml"
	"io"
	"strings"
	"testing"

	"transom/exchange"
	"transom/platform/lab"
)

// TestH2spec has h2spec break the rules of HTTP/2 in every way that it knows.
// What it gets to see is ours: the server behind is never told.
func TestH2spec(t *testing.T) {
	program := h2spec(t)
	for name, args := range map[string][]string{
		"h2":  {"-p", "443", "-t", "-k"},
		"h2c": {"-p", "80"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serveOurs(patient)
			w.redirect("80,443")
			w.transom("--json")
			report := w.path("report.xml")
			stdout, stderr, err := w.try(w.Client, program, append(args, "-h", lab.ServerAddr4, "-S", "-o", "10", "-j", report)...)
			cases := w.cases(report)
			if len(cases) < 140 {
				t.Fatalf("%d cases; h2spec ended with %v and printed\n%s%s", len(cases), err, stdout, stderr)
			}
			for _, c := range cases {
				switch {
				case c.Failure != nil:
					t.Errorf("%s, %s: %s", c.Package, c.Name, c.Failure.Text)
				case c.Skipped != nil:
					t.Errorf("%s, %s: was skipped", c.Package, c.Name)
				case c.Error != nil:
					t.Errorf("%s, %s: h2spec failed: %s", c.Package, c.Name, c.Error.Text)
				}
			}
		})
	}
}

// patient is the server behind. It reads to the end before it answers: a stream
// that is answered and closed can't be broken any more.
func patient(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil, err
	}
	return exchange.Text(200, strings.Repeat("x", 100)), nil
}

// A specCase is one case of a report in JUnit's format.
type specCase struct {
	Package string    `xml:"package,attr"`
	Name    string    `xml:"classname,attr"`
	Failure *specText `xml:"failure"`
	Skipped *specText `xml:"skipped"`
	Error   *specText `xml:"error"`
}

type specText struct {
	Text string `xml:",innerxml"`
}

// cases reads a report of h2spec.
func (w *world) cases(report string) (all []specCase) {
	w.t.Helper()
	var suites struct {
		Suites []struct {
			Cases []specCase `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(w.read(report)), &suites); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range suites.Suites {
		all = append(all, s.Cases...)
	}
	return all
}
