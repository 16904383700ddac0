package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
)

// TestMain is the origin server, a client or the reverse proxy when the test
// runs itself again.
func TestMain(m *testing.M) {
	if roleOf(os.Args[1:]) != nil {
		os.Exit(start(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	labtest.Main(m)
}

// TestController does every measure that needs no proxy.
func TestController(t *testing.T) {
	labtest.New(t) // whether there can be one
	var out, progress bytes.Buffer
	err := controller(t.Context(), []string{"-peers", "direct", "-rounds", "1", "-round", "50ms", "-size", "1", "-json"}, nil, &out, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	var got []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var line struct {
			Measure, Peer string
			Figures       map[string]float64
		}
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Peer != direct || len(line.Figures) == 0 && !strings.HasPrefix(line.Measure, idle) {
			t.Errorf("line %+v: want figures of %s", line, direct)
		}
		got = append(got, line.Measure)
	}
	if diff := cmp.Diff(measureNames(), got); diff != "" {
		t.Errorf("measures (-want +got):\n%s", diff)
	}
}

// TestReverse measures the one proxy that is always there. HTTP/2 is left out:
// on a busy machine net/http ends some of its connections, and why is not known.
func TestReverse(t *testing.T) {
	labtest.New(t) // whether there can be one
	const names = "http,https,ws,ws-deflate,connect-new"
	var out, progress bytes.Buffer
	err := controller(t.Context(), []string{"-peers", "net/http", "-measures", names, "-rounds", "1", "-round", "50ms", "-json"}, nil, &out, &progress)
	if err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	if n, want := strings.Count(out.String(), `"CPU, µs":`), 1+strings.Count(names, ","); n != want {
		t.Errorf("%d measures with figures, want %d:\n%s", n, want, &out)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{
		{"-measures", "http,hTTp"},
		{"-peers", "direct,squid"},
		{"-rounds", "0"},
		{"-round", "0s"},
		{"-size", "-1"},
		{"-idle", "32"},
		{"more"},
		{"-what"},
	} {
		if _, err := parse(args, &bytes.Buffer{}); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}

func TestPrintTable(t *testing.T) {
	m := measures()[0]
	at := func(cpu time.Duration, ops int) sample {
		return sample{Processor: cpu, outcome: outcome{Ops: ops, Elapsed: time.Second}}
	}
	r := result{measure: m, rounds: [][]sample{
		{at(0, 40_000), at(500*time.Millisecond, 10_000), at(250*time.Millisecond, 10_000)},
		{at(0, 50_000), at(600*time.Millisecond, 10_000), at(200*time.Millisecond, 10_000)},
		{at(0, 60_000), at(100*time.Millisecond, 10_000), at(200*time.Millisecond, 20_000)},
	}}
	var out strings.Builder
	peers := []peer{{name: direct}, {name: transom}, {name: haproxy}}
	if err := printTable(&out, []string{"a machine"}, []result{r}, peers); err != nil {
		t.Fatal(err)
	}
	want := `a machine

                                        direct  transom  haproxy         to direct        to haproxy
HTTP/1.1 request, keep-alive  CPU, µs        –     50.0     20.0                 –  2.00 (1.00–3.00)
                              a second   50000    10000    10000  0.20 (0.17–0.25)  1.00 (0.50–1.00)
`
	var got strings.Builder
	for line := range strings.Lines(out.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1}, 3}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.of, got, c.want)
		}
	}
}

// TestProcess reads the figures of this process in both ways.
func TestProcess(t *testing.T) {
	_, err := os.Stat("/proc/self/schedstat")
	testnet.Need(t, err == nil, "Linux, with /proc")
	pid := os.Getpid()
	for name, of := range map[string]func(int) (time.Duration, error){
		"processor-time": processorTime, "scheduled": scheduled, "ticked": ticked,
	} {
		if got, err := of(pid); err != nil || got < 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if got, err := residentBytes(pid); err != nil || got < 1<<20 {
		t.Errorf("resident: %d, %v", got, err)
	}
}

func TestWire(t *testing.T) {
	for name, c := range map[string]struct{ answer, err string }{
		"good":        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", ""},
		"lower-case":  {"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", ""},
		"status":      {"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "502"},
		"no-length":   {"HTTP/1.1 200 OK\r\n\r\n", "Content-Length"},
		"too-much":    {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok", "longer"},
		"cut-short":   {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "1 bytes are missing"},
		"endless":     {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 4096), "too long"},
		"nothing":     {"", "EOF"},
		"not-in-full": {"HTTP/1.1 200 OK\r\nConte", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			defer near.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer far.Close()
				if _, err := far.Read(make([]byte, 2048)); err == nil {
					_, _ = far.Write([]byte(c.answer)) // the other side may have enough
				}
			}()
			w := &wire{Conn: near, request: request("/", hostName), buf: make([]byte, 2048)}
			err := w.get()
			near.Close()
			<-done
			switch {
			case c.err == "" && err != nil:
				t.Errorf("error %v", err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("error %v, want one with %q", err, c.err)
			}
		})
	}
}
