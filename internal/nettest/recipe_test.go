package nettest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// recipes returns the commands that a page in docs gives, by the names in the
// comments before them; these there have to be.
func recipes(t *testing.T, page string, names ...string) map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	block := regexp.MustCompile("(?s)<!-- recipe: (\\S+) -->\n( *)```sh\n(.*?\n) *```\n")
	for _, m := range block.FindAllStringSubmatch(string(b), -1) {
		found[m[1]] = strings.ReplaceAll("\n"+m[3], "\n"+m[2], "\n") // as it is indented in the list
	}
	if n := strings.Count(string(b), "<!-- recipe:"); n != len(found) {
		t.Errorf("docs/%s announces %d recipes and has %d", page, n, len(found))
	}
	for _, name := range names {
		if found[name] == "" {
			t.Fatalf("docs/%s has no recipe %q", page, name)
		}
	}
	return found
}

// TestRecipe does what docs/by-hand.md says, word for word.
func TestRecipe(t *testing.T) {
	for _, kind := range []struct{ name, suffix string }{{"iptables", ""}, {"nft", "-nft"}, {"tproxy", "-tproxy"}} {
		t.Run(kind.name, func(t *testing.T) {
			need(t, "sysctl", "iptables", "ip6tables", "nft", "ip", "curl", "setpriv")
			w := newWorld(t)
			r := &recipe{world: w, text: recipes(t, "by-hand.md", "forward", "redirect", "redirect-nft", "listen", "undo", "undo-nft", "redirect-tproxy", "undo-tproxy")}
			w.serve(func(rw http.ResponseWriter, req *http.Request) { io.WriteString(rw, "hello "+req.Host) })
			w.handle(8000, func(c *net.TCPConn) { io.WriteString(c, c.RemoteAddr().String()) })
			r.udp(443)
			r.udp(5353)
			for _, key := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
				if err := w.Gateway.Sysctl(key, "0"); err != nil {
					t.Fatal(err)
				}
			}
			before := r.rules()

			r.sh("forward")
			r.forwards()
			r.sh("redirect" + kind.suffix)
			p := r.listen(kind.name == "tproxy")
			r.captures(p)
			r.sh("undo" + kind.suffix)
			if after := r.rules(); after != before {
				t.Errorf("rules before:\n%s\nand afterwards:\n%s", before, after)
			}
			r.forwards()
			p.stop()
			if n := p.out.lines(); n != 6 { // with two for the certificate
				t.Errorf("%d lines, want 6", n)
			}
		})
	}
}

type recipe struct {
	*world
	text map[string]string
}

// sh runs one of the recipe's commands on the gateway.
func (r *recipe) sh(name string) {
	r.t.Helper()
	r.must(r.Gateway, "sh", "-euc", r.text[name])
}

// rules returns all rules of the gateway. Tables and chains that iptables made
// on its way, and that are empty, do not count.
func (r *recipe) rules() string {
	r.t.Helper()
	text := r.must(r.Gateway, "nft", "list", "ruleset") + r.must(r.Gateway, "iptables-save") + r.must(r.Gateway, "ip6tables-save")
	// ip fails if there has never been such a table.
	routes := r.must(r.Gateway, "sh", "-c", "ip -4 rule; ip -6 rule; ip -4 route show table 7000; ip -6 route show table 7000; true")
	var kept []string
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "-"), strings.Contains(line, "redirect"), strings.Contains(line, "reject"),
			strings.Contains(line, "REDIRECT"), strings.Contains(line, "xt "), strings.Contains(line, "transom"):
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n") + "\n" + routes
}

// listen starts the proxy with the recipe's command; without any capability
// unless privileged, as docs/by-hand.md says that it needs no privilege.
func (r *recipe) listen(privileged bool) *transom {
	r.t.Helper()
	if privileged {
		cmd := r.command(r.Gateway, "sh", "-euc", r.text["listen"])
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+r.authority.file)
		return r.start(cmd)
	}
	cmd := r.command(r.Gateway, "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
		"sh", "-euc", r.text["listen"])
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+r.authority.file) // what the system trusts
	return r.start(cmd)
}

// forwards checks that nothing is captured and everything reaches the server.
func (r *recipe) forwards() {
	r.t.Helper()
	for _, f := range families {
		if got := r.must(r.Client, "curl", "-sS", "--cacert", r.authority.file, "https://"+f.host+"/"); got != "hello "+f.host {
			r.t.Errorf("%s: got %q through the gateway", f.name, got)
		}
		for _, port := range []uint16{443, 5353} {
			if err := r.datagram(f.addr, port); err != nil {
				r.t.Errorf("%s: UDP port %d: %v", f.name, port, err)
			}
		}
	}
}

// captures checks that web traffic is captured, QUIC is refused, and the rest
// reaches the server.
func (r *recipe) captures(p *transom) {
	r.t.Helper()
	for _, f := range families {
		got := r.must(r.Client, "curl", "-sS", "http://"+f.host+"/")
		// The certificate, as a device gets it.
		cert := r.write(f.name+".pem", r.must(r.Client, "curl", "-sSf", "http://"+f.gateway+":8080/cert/pem"))
		got += ", " + r.must(r.Client, "curl", "-sS", "--cacert", cert, "https://"+f.host+"/")
		if want := "hello " + f.host + ", hello " + f.host; got != want {
			r.t.Errorf("%s: got %q, want %q", f.name, got, want)
		}
		if err := r.datagram(f.addr, 443); !errors.Is(err, syscall.ECONNREFUSED) {
			r.t.Errorf("%s: QUIC: %v, want it refused", f.name, err)
		}
		if err := r.datagram(f.addr, 5353); err != nil {
			r.t.Errorf("%s: other UDP: %v", f.name, err)
		}
		c := r.dial(netip.AddrPortFrom(netip.MustParseAddr(f.addr), 8000).String())
		if b, err := io.ReadAll(c); err != nil || string(b) != c.LocalAddr().String() {
			r.t.Errorf("%s: another TCP port: the server saw %q, %v; want the client, %s", f.name, b, err, c.LocalAddr())
		}
	}
	shown := regexp.MustCompile(`(?m)^\S+ \S+:\d+ +GET +https?://\S+:?/ +200 text/plain \d+b \S+$`)
	if !p.out.wait(r.t, func(s string) bool { return len(shown.FindAllString(s, -1)) == 4 }) {
		r.t.Errorf("shown:\n%s", p.out)
	}
	if exported := r.must(r.Gateway, "transom", "ca", "export"); exported != r.read(r.path("v4.pem")) {
		r.t.Error("transom ca export differs from what devices are offered")
	}
}

// udp answers datagrams to a port of the server with what they say.
func (r *recipe) udp(port uint16) {
	r.t.Helper()
	r.answers(netip.AddrPortFrom(netip.IPv6Unspecified(), port), func(p []byte) []byte { return p })
}

// datagram sends one to the server, and returns why no answer came.
func (r *recipe) datagram(addr string, port uint16) error {
	r.t.Helper()
	var c *net.UDPConn
	err := r.Client.Do(func() (err error) {
		c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), port)))
		return err
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	b := make([]byte, 1500)
	n, err := c.Read(b)
	if err == nil && string(b[:n]) != "hello" {
		return errors.New("the answer is " + string(b[:n]))
	}
	return err
}
