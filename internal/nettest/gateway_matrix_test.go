package nettest_test

import (
	"slices"
	"strings"
	"testing"

	"transom/platform/lab"
)

// TestGatewayMatrix has a stock curl ask a stock nginx through each kind of
// capture, and looks at whom nginx has seen.
func TestGatewayMatrix(t *testing.T) {
	need(t, "curl", "nginx")
	for _, method := range []string{"tproxy", "redirect"} {
		for _, spoof := range []string{"none", "ip", "ip+port"} {
			t.Run(method+"-"+spoof, func(t *testing.T) {
				w := newGatewayWorld(t)
				n := w.nginx("access_log "+w.path("nginx/access.log")+" seen;", "access_log "+w.path("nginx/who.log")+" who;")
				w.secure(w.Server, 8443)
				w.datagrams(5353)
				own := w.ownService()
				before := w.state(w.Gateway)
				g := w.gateway("--method", method, "--spoof-source", spoof)
				cert := g.trusts()
				for i, f := range families {
					for j, scheme := range []string{"http", "https"} {
						local := w.must(w.Client, "curl", "-sS", "--max-time", "120", "--cacert", cert, "-o", "/dev/null",
							"-w", "%{local_ip} %{local_port}", scheme+"://"+f.host+"/")
						g.await(2*i+j+1, of("http"))
						if saw := n.from(); !sawAs(saw, local, spoof, i) {
							t.Errorf("%s %s: nginx saw %q of %q", f.name, scheme, saw, local)
						}
					}
				}
				w.others(w.Client, seenClient)
				own()
				for _, r := range g.records() {
					if r.Type == "http" && r.Capture != method {
						t.Errorf("recorded as captured by %q", r.Capture)
					}
				}
				g.stop()
				w.restored(w.Gateway, before)
				w.wantAll(w.Client, 8443, direct, seenClient)
			})
		}
	}
}

// from returns from where the last request came that nginx has seen.
func (n *nginx) from() string {
	n.t.Helper()
	n.seen() // all of it is logged then
	lines := strings.Split(strings.TrimSpace(n.read(n.path("nginx/who.log"))), "\n")
	asked := slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, lab.ServerAddr4+" ") }) // its own marks
	if len(asked) == 0 {
		return ""
	}
	return asked[len(asked)-1]
}

// sawAs reports whether an address and a port that the server saw are what they
// must be for a client's.
func sawAs(saw, local, spoof string, family int) bool {
	addr, port, _ := strings.Cut(saw, " ")
	clientAddr, clientPort, _ := strings.Cut(local, " ")
	switch spoof {
	case "none":
		return addr == []string{lab.WANAddr4, lab.WANAddr6}[family]
	case "ip":
		return addr == clientAddr
	}
	return addr == clientAddr && port == clientPort
}
