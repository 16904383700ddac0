package nettest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// A slow server answers in two halves; it sends the second when it is told.
type slow struct {
	begun chan struct{}
	goOn  chan struct{}
}

func (w *world) slow() *slow {
	s := &slow{begun: make(chan struct{}, 1), goOn: make(chan struct{})}
	w.serve(func(rw http.ResponseWriter, req *http.Request) {
		io.WriteString(rw, "half ")
		rw.(http.Flusher).Flush()
		s.begun <- struct{}{}
		select {
		case <-s.goOn:
			io.WriteString(rw, "whole")
		case <-req.Context().Done():
		}
	})
	return s
}

// halfway starts to read a slow response, and returns it and what it read.
func (w *world) halfway(c *http.Client, url string, s *slow) (*http.Response, string) {
	w.t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { resp.Body.Close() })
	<-s.begun
	b := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, b); err != nil {
		w.t.Fatal(err)
	}
	return resp, string(b)
}

// refused waits until the proxy takes no more connections.
func (w *world) refused() {
	w.t.Helper()
	eventually(w.t, "new connections to be refused", func() bool {
		c, err := w.Client.Dial(w.ctx, addrPort(lab.ServerAddr4, 80))
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// TestDrain tells the proxy to end while a response is under way.
func TestDrain(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		for name, sig := range map[string]syscall.Signal{"interrupt": syscall.SIGINT, "term": syscall.SIGTERM} {
			t.Run(scheme+"-"+name, func(t *testing.T) {
				w := newWorld(t)
				s := w.slow()
				w.redirect("80,443")
				p := w.transom("--json")
				c := w.browser(w.must(w.Gateway, "transom", "ca", "export"))
				resp, first := w.halfway(c, scheme+"://"+shop+"/", s)
				p.signal(sig)
				w.refused()
				close(s.goOn)
				rest, err := io.ReadAll(resp.Body)
				if got := first + string(rest); err != nil || got != "half whole" {
					t.Errorf("got %q, %v", got, err)
				}
				p.wait(0)
				for _, r := range p.await(1, of("http")) {
					if r.Response.Body.Size != 10 || r.Error != "" {
						t.Errorf("recorded %+v", r)
					}
				}
			})
		}
	}
}

// TestDrainTwice tells it twice: then it ends at once.
func TestDrainTwice(t *testing.T) {
	w := newWorld(t)
	s := w.slow()
	w.redirect("80,443")
	p := w.transom("--json")
	resp, _ := w.halfway(w.browser(w.read(w.authority.file)), "http://"+shop+"/", s)
	p.signal(syscall.SIGTERM)
	w.refused()
	p.signal(syscall.SIGINT)
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("behind the second signal the response went on with %q, to its end", b)
	}
	p.wait(0)
	if r := p.await(1, of("http"))[0]; r.Error == "" {
		t.Errorf("recorded %+v", r)
	}
}

// TestNoGrace leaves open connections no time, and says so.
func TestNoGrace(t *testing.T) {
	w := newWorld(t)
	s := w.slow()
	w.redirect("80,443")
	p := w.transom("--json", "--grace", "0")
	resp, _ := w.halfway(w.browser(w.read(w.authority.file)), "http://"+shop+"/", s)
	p.signal(syscall.SIGTERM)
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("the response went on with %q, to its end", b)
	}
	p.wait(0)
	for _, line := range []string{"transom: stop it with Ctrl-C: open connections are cut\n", "transom: stopping: open connections are cut\n"} {
		if said := p.log.String(); !strings.Contains(said, line) {
			t.Errorf("it says\n%s\nand not %s", said, line)
		}
	}
}

// TestDrainUnread tells it twice while nobody reads what it prints: it waits,
// and all is printed in the end. Told a third time it ends at once.
func TestDrainUnread(t *testing.T) {
	for name, third := range map[string]bool{"read-late": false, "never-read": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			const size = 1 << 20 // more than a pipe holds
			w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, strings.Repeat("text\n", size/5)) })
			w.redirect("80")
			p := w.transom("--flow-detail", "4", "--body-limit", "2m")
			release := p.out.hold()
			defer release()
			c := w.browser(w.read(w.authority.file))
			for range 2 {
				resp, err := c.Get("http://" + shop + "/")
				if err != nil {
					t.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			p.signal(syscall.SIGTERM)
			p.log.wait(t, func(s string) bool { return strings.Contains(s, "stopping") })
			p.signal(syscall.SIGTERM)
			p.log.wait(t, func(s string) bool { return strings.Contains(s, "transom: ending") })
			if third {
				p.signal(syscall.SIGTERM)
				eventually(t, "the end", func() bool { return p.gone() })
				release()
				p.wait(-1)
				return
			}
			release()
			p.wait(0)
			if n := strings.Count(p.out.String(), " 200 "); n != 4 {
				t.Errorf("%d lines with the status, want a line and a head for each of two", n)
			}
		})
	}
}

// TestDrainIdle has connections that carry nothing when the proxy is told to
// end: it need not wait for them, and they have not failed.
func TestDrainIdle(t *testing.T) {
	for name, open := range map[string]func(*world) *net.TCPConn{
		"said-nothing": func(w *world) *net.TCPConn { return w.dial(lab.ServerAddr4 + ":80") },
		"between-requests": func(w *world) *net.TCPConn {
			c := w.dial(lab.ServerAddr4 + ":80")
			io.WriteString(c, plainGet)
			if _, err := io.ReadFull(c, make([]byte, len("HTTP/1.1 200 OK\r\n"))); err != nil {
				w.t.Fatal(err)
			}
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			accepted := make(chan struct{}, 9)
			w.handle(80, func(c *net.TCPConn) {
				accepted <- struct{}{}
				for b := make([]byte, 1000); ; {
					if _, err := c.Read(b); err != nil {
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			w.redirect("80")
			p := w.transom("--json", "--flow-detail", "3")
			c := open(w)
			<-accepted
			p.signal(syscall.SIGTERM)
			if _, err := io.ReadAll(c); err != nil {
				t.Errorf("the client: %v, want a FIN", err)
			}
			p.wait(0)
			if r := connections(p.records()); len(r) != 1 || r[0].Error != "" {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}

// TestIdle ends what is silent for longer than --tcp-timeout.
func TestIdle(t *testing.T) {
	w := newWorld(t)
	w.handle(80, func(c *net.TCPConn) { io.Copy(io.Discard, c) })
	w.redirect("80")
	p := w.transom("--json", "--tcp-timeout", "1")
	c := w.dial(lab.ServerAddr4 + ":80")
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the client: %v", err)
	}
	if r := p.await(1, of("conn"))[0]; r.Close.Client != "timeout" {
		t.Errorf("recorded %+v", r)
	}
}

// TestKill kills the proxy: the rules are as they were, and another one can
// take its place.
func TestKill(t *testing.T) {
	need(t, "curl", "nft", "iptables-save")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80,443")
	state := func() string {
		return w.must(w.Gateway, "nft", "list", "ruleset") + w.must(w.Gateway, "sh", "-euc", "iptables-save | grep -v ^# ; ip rule; ip -6 rule; ip route show table all")
	}
	before := state()
	p := w.transom()
	if _, stderr, err := w.curl(w.trusted(), "https://shop.example/"); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	p.signal(syscall.SIGKILL)
	p.wait(-1)
	counters := regexp.MustCompile(`counter packets \d+ bytes \d+|\[\d+:\d+\]`)
	if after := state(); counters.ReplaceAllString(after, "") != counters.ReplaceAllString(before, "") {
		t.Errorf("before:\n%s\nafterwards:\n%s", before, after)
	}
	w.transom()
	if _, stderr, err := w.curl(w.trusted(), "https://shop.example/"); err != nil {
		t.Errorf("the next one: %v\n%s", err, stderr)
	}
}

// TestCommandLine has mistakes on the command line: one clear line, and nothing
// started.
func TestCommandLine(t *testing.T) {
	w := newWorld(t)
	busy, err := w.Gateway.Listen(w.ctx, addrPort(lab.LANAddr4, 8888))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	const usage = "\nRun 'transom"
	for _, tc := range []struct {
		args string
		code int
		line string
	}{
		{"listen -q --json", 2, `^transom: listen: -q shows no flows`},
		{"listen -m reverse@80", 2, `^transom: listen: mode "reverse@80" is not known`},
		{"listen -m transparent@x", 2, `^transom: listen: mode "transparent@x": `},
		{"listen -T -p 70000", 2, `^transom: listen: .*70000`},
		{"listen -T --no-such", 2, `^transom: listen: .*--no-such`},
		{"demo extra", 2, `^transom: demo: unexpected argument "extra"`},
		{"listen -T --ignore-hosts (", 2, `^transom: listen: --ignore-hosts: pattern "\("`},
		{"listen -T --flow-detail 5", 2, `^transom: listen: .*--flow-detail.*from 0 to 4`},
		{"listen -T --on-upstream-tls-failure no", 2, `^transom: listen: --on-upstream-tls-failure "no": `},
		{"listen -T --upstream-ca /nonexistent", 2, `^transom: listen: --upstream-ca: .*/nonexistent`},
		{"listen -T -o /nonexistent/x", 2, `^transom: listen: -o: .*/nonexistent/x`},
		{"listen -T --store-max lots", 2, `^transom: listen: .*lots`},
		{"lisen", 2, `^transom: .*"lisen"`},
		{"ca export -f jks", 2, `^transom: ca export: .*jks`},
		{"listen -m transparent@192.168.1.1:8888", 1, `^transom: listen: .*192\.168\.1\.1:8888: .*address already in use`},
		{"listen -m transparent@8888", 1, `^transom: listen: .*8888.*address already in use`},
	} {
		t.Run(tc.args, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(w.ctx, patience)
			defer cancel()
			cmd := w.Gateway.Command(ctx, find("transom"), strings.Fields(tc.args)...)
			cmd.Env = []string{"HOME=" + w.dir}
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			said, _, hinted := strings.Cut(strings.TrimSuffix(stderr.String(), "\n"), usage)
			if code := exitCode(err); code != tc.code || stdout.Len() > 0 || hinted != (code == 2) {
				t.Errorf("ended with %d, want %d; printed %q and %q", code, tc.code, &stdout, &stderr)
			}
			if strings.Contains(said, "\n") || !regexp.MustCompile(tc.line).MatchString(said) {
				t.Errorf("said %q, want one line that matches %q", said, tc.line)
			}
		})
	}
	if _, err := w.Gateway.Dial(w.ctx, addrPort("127.0.0.1", 8080)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("something listens")
	}
}
