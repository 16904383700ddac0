package nettest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transom/platform/lab"
)

// TestOriginalRecipe does what docs/mitmproxy.md has from mitmproxy's manual, word
// for word: servers see the client's address; and the limits that the page names
// are there.
func TestOriginalRecipe(t *testing.T) {
	r := newOriginal(t)
	before := r.rules()
	r.sh("original")
	r.sh("original6")
	p := r.listen(true)
	r.seesClient()
	for _, f := range families {
		if err := r.another(f.addr, time.Second); err == nil {
			t.Errorf("%s: a port that is not captured can be reached, and docs/mitmproxy.md says that it can't", f.name)
		}
	}
	p.stop()
	r.sh("original-undo")
	r.tidy(before)
}

// TestThreeRules does what docs/mitmproxy.md says to do in place of the recipe.
func TestThreeRules(t *testing.T) {
	for _, kind := range []string{"", "-nft"} {
		t.Run("iptables"+kind, func(t *testing.T) {
			r := newOriginal(t)
			before := r.rules()
			r.sh("three" + kind)
			p := r.listen(true)
			r.seesClient()
			for _, f := range families {
				if err := r.another(f.addr, patience); err != nil {
					t.Errorf("%s: a port that is not captured: %v", f.name, err)
				}
			}
			p.stop()
			r.sh("three" + kind + "-undo")
			r.tidy(before)
		})
	}
}

// TestOwnPrograms does what docs/mitmproxy.md says for what the gateway itself
// sends.
func TestOwnPrograms(t *testing.T) {
	r := newOriginal(t)
	if !r.users() {
		t.Log("there are no other users in this user namespace")
		return
	}
	before := r.rules()
	r.sh("local")
	cmd := r.command(r.Gateway, "sh", "-euc", "exec "+r.text["local-listen"])
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+r.authority.file)
	p := r.start(cmd)
	for _, f := range families {
		if got := r.must(r.Gateway, "curl", "-sS", "http://"+f.host+"/"); got == "" {
			t.Errorf("%s: nothing came back", f.name)
		}
	}
	p.stop()
	if n := p.out.lines(); n != 2 {
		t.Errorf("%d flows were seen, want 2:\n%s", n, p.out)
	}
	r.sh("local-undo")
	r.tidy(before)
}

type original struct{ *recipe }

func newOriginal(t *testing.T) *original {
	t.Helper()
	need(t, "iptables", "ip6tables", "nft", "ip", "curl", "unshare", "mount", "cp")
	r := &original{&recipe{world: newWorld(t), text: recipes(t, "mitmproxy.md", "original", "original6", "original-undo", "listen",
		"three", "three-undo", "three-nft", "three-nft-undo", "listen-port", "local", "local-listen", "local-undo")}}
	r.serve(func(rw http.ResponseWriter, req *http.Request) { io.WriteString(rw, req.RemoteAddr) })
	r.handle(8000, func(c *net.TCPConn) { io.WriteString(c, c.RemoteAddr().String()) })
	r.must(r.Gateway, "cp", "-r", "/etc/iproute2", r.path("iproute2"))
	return r
}

// sh runs one of the page's commands on the gateway, with a table of routing
// tables of its own.
func (r *original) sh(name string) {
	r.t.Helper()
	r.must(r.Gateway, "unshare", "--mount", "sh", "-euc", "mount --bind iproute2 /etc/iproute2\n"+r.text[name])
}

// seesClient checks that servers are visited by the client, over HTTP and HTTPS.
func (r *original) seesClient() {
	r.t.Helper()
	for i, f := range families {
		cert := r.write(f.name+".pem", r.must(r.Client, "curl", "-sSf", "http://"+f.gateway+":8080/cert/pem"))
		for _, url := range []string{"http://" + f.host + "/", "https://" + f.host + "/"} {
			got, err := netip.ParseAddrPort(r.must(r.Client, "curl", "-sS", "--cacert", cert, url))
			if want := []string{lab.ClientAddr4, lab.ClientAddr6}[i]; err != nil || got.Addr().String() != want {
				r.t.Errorf("%s: the server saw %v, %v; want %s", url, got, err, want)
			}
		}
	}
}

// another asks a port that is not captured who came.
func (r *original) another(addr string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(r.ctx, within)
	defer cancel()
	c, err := r.Client.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr(addr), 8000))
	if err != nil {
		return err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	if err == nil && string(b) != c.LocalAddr().String() {
		return errors.New("the server saw " + string(b))
	}
	return err
}

// tidy checks that all is as it was.
func (r *original) tidy(before string) {
	r.t.Helper()
	if after := r.rules(); after != before {
		r.t.Errorf("rules before:\n%s\nand afterwards:\n%s", before, after)
	}
	if strings.Contains(r.read(r.path("iproute2/rt_tables")), "mitmproxy") {
		r.t.Error("/etc/iproute2/rt_tables has a line more than before")
	}
}

// TestOriginalLauncher has an ordinary user start what the recipe starts, by the
// launcher.
func TestOriginalLauncher(t *testing.T) {
	r := newOriginal(t)
	if !r.users() {
		t.Log("there are no other users in this user namespace")
		return
	}
	need(t, "setpriv")
	r.sh("original")
	r.sh("original6")
	cmd := r.command(r.Gateway, "unshare", "--mount", "sh", "-euc", installed+
		"install -m 644 origin-ca.pem /opt/ca.pem; echo '/opt/bin/transom games' >/etc/transom/shim.conf; cd /\n"+
		"exec setpriv --reuid=1 --regid=1 --groups=60 /opt/bin/transom-shim /opt/bin/transom listen -T --spoof-source-address --ca-dir /opt/mine/ca --upstream-ca /opt/ca.pem")
	cmd.Env = append(cmd.Env, "BUILT="+built.dir)
	p := r.start(cmd)
	r.seesClient()
	p.stop()
}
