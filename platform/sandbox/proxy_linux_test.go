package sandbox_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"transom"
	"transom/ca"
	"transom/capture"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
	"transom/platform/sandbox"
)

// rootsName is the file, in the child's directory, of what servers are verified
// against.
const rootsName = "roots.pem"

// A ready proxy says so, and what it signs with.
type ready struct {
	Report    sandbox.Report
	Authority []byte // DER
}

// proxy is a whole one that gives up its rights once it listens. It ends in order
// when it is told to.
func proxy() any {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	host := must(platform.Here(log))
	authority := must(ca.New(ca.Options{Host: "sandbox", ECDSA: true}))
	u := must(sandbox.Lookup("nobody"))
	to, _ := sandbox.Within(u)
	p := &transom.Proxy{
		Captures: []capture.Capture{capture.Redirect{Listen: netip.AddrPortFrom(netip.Addr{}, 8080)}},
		Settings: transom.Settings{
			Issuer:        authority,
			UpstreamRoots: must(ca.Roots(filepath.Join(os.Getenv(dirVariable), rootsName))),
		},
		Host: host, Log: log,
		Listening: func([]net.Addr) error {
			r, err := sandbox.Drop(sandbox.Options{User: &u, Read: sandbox.SystemFiles(to), Log: log})
			if err != nil {
				return err
			}
			return json.NewEncoder(os.Stdout).Encode(ready{r, authority.Root().Raw})
		},
	}
	must(0, p.Run(ctx))
	p.Close()
	must(0, host.Close())
	return "ended"
}

// TestProxyAfterDrop has connections redirected to a proxy without rights.
func TestProxyAfterDrop(t *testing.T) {
	n := labtest.Gateway(t)
	origin, err := ca.New(ca.Options{Host: "origin", ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	serveOrigin(t, n, origin)
	redirect(t, n.Gateway)

	cmd := inDir(t, child("proxy"))
	roots, err := origin.Export(ca.PEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cmd.Dir, rootsName), roots.Data, 0o644); err != nil {
		t.Fatal(err)
	}
	run := n.Gateway.Command(t.Context(), cmd.Path)
	var log strings.Builder
	run.Env, run.Stderr = cmd.Env, &log
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	lines := json.NewDecoder(bufio.NewReader(out))
	var first ready
	if err := lines.Decode(&first); err != nil {
		t.Fatal(err)
	}
	authority, err := x509.ParseCertificate(first.Authority)
	if err != nil {
		t.Fatal(err)
	}
	visit(t, n, authority)

	want := with(none(), ids(first.Report.User))
	check(t, threadsOf(run.Process.Pid), want)
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var last string
	if err := lines.Decode(&last); err != nil || last != "ended" {
		t.Errorf("its last words are %q, %v", last, err)
	}
	if err := run.Wait(); err != nil || strings.Contains(log.String(), "ERROR") {
		t.Errorf("%v\n%s", err, log.String())
	}
}

// serveOrigin answers by HTTPS, under a certificate of authority's.
func serveOrigin(t *testing.T, n *lab.Net, authority *ca.Authority) {
	t.Helper()
	l, err := n.Server.Listen(t.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), 443))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.URL.Path) }),
		TLSConfig: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return authority.Issue(h.Context(), ca.Leaf{Name: h.ServerName})
		}},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(l, "", "") }()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
}

// redirect sends what the client sends to port 443 to the proxy.
func redirect(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Rules(t, h, nft.Redirection("test", "lan0", []uint16{443}, 8080))
}

// visit asks the server, by each version of IP and of HTTP, and is answered under
// the proxy's authority.
func visit(t *testing.T, n *lab.Net, authority *x509.Certificate) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	for _, addr := range []string{lab.ServerAddr4, lab.ServerAddr6} {
		if addr == lab.ServerAddr6 && !n.Client.IPv6() {
			continue
		}
		for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
			var ps http.Protocols
			ps.SetHTTP1(proto == "HTTP/1.1")
			ps.SetHTTP2(proto == "HTTP/2.0")
			tr := &http.Transport{
				Protocols:       &ps,
				TLSClientConfig: &tls.Config{RootCAs: roots},
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return n.Client.Dial(ctx, netip.AddrPortFrom(netip.MustParseAddr(addr), 443))
				},
			}
			resp, err := (&http.Client{Transport: tr}).Get("https://shop.example/cart")
			if err != nil {
				t.Errorf("%s by %s: %v", addr, proto, err)
				continue
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			tr.CloseIdleConnections()
			if err != nil || string(b) != proto+" /cart" {
				t.Errorf("%s by %s: %q, %v", addr, proto, b, err)
			}
		}
	}
}
