package tlsterm_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transom/flow"
	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

// sent returns the hello that a server gets because of a client's.
func sent(t *testing.T, client *sniff.Hello, o tlsterm.ConnectOptions) *sniff.Hello {
	t.Helper()
	us, server := testnet.Pipe(clientAddr, serverAddr)
	defer us.Close()
	got := make(chan *sniff.Hello, 1)
	go func() {
		_, hello := peek(t, server)
		server.Close()
		got <- hello
	}()
	if _, _, err := tlsterm.Connect(t.Context(), us, client, o); err == nil {
		t.Error("a handshake with nobody")
	}
	return <-got
}

// TestHelloFollowsTheClient holds LikeGo to what it says, for the hellos of real
// programs.
func TestHelloFollowsTheClient(t *testing.T) {
	files, err := filepath.Glob("../sniff/testdata/*.hello")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded hellos: %v", err)
	}
	all := tlsterm.NewSessions(tlsterm.SessionsOptions{})
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".hello"), func(t *testing.T) {
			stream, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			client := sniff.Stream(stream).Hello
			got := sent(t, client, tlsterm.ConnectOptions{
				Speak: []string{"h2", "http/1.1"}, Lineage: all.Of(clientAddr.Addr(), serverAddr.String(), client),
			})
			followed(t, client, got)
		})
	}
}

func followed(t *testing.T, client, got *sniff.Hello) {
	if got.TLS.ServerName != client.TLS.ServerName {
		t.Errorf("name %q, the client's %q", got.TLS.ServerName, client.TLS.ServerName)
	}
	if !slices.Equal(got.TLS.ALPN, client.TLS.ALPN) {
		t.Errorf("ALPN %q, the client's %q", got.TLS.ALPN, client.TLS.ALPN)
	}
	if slices.Max(got.TLS.Versions) != slices.Max(client.TLS.Versions) {
		t.Errorf("versions %x, the client's %x", got.TLS.Versions, client.TLS.Versions)
	}
	for _, v := range got.TLS.Versions {
		if len(client.TLS.Versions) > 1 && !slices.Contains(client.TLS.Versions, v) {
			t.Errorf("version %x is not the client's", v)
		}
	}
	for _, g := range got.Groups {
		if len(client.Groups) > 0 && !slices.Contains(client.Groups, g) {
			t.Errorf("group %v is not the client's", tls.CurveID(g))
		}
	}
	for _, g := range got.KeyShares {
		if tls.CurveID(g) == tls.X25519MLKEM768 && !slices.Contains(client.KeyShares, g) {
			t.Error("a hybrid share, and the client sent none")
		}
	}
	const ticket, pskModes = 35, 45
	asks := func(h *sniff.Hello) bool {
		return slices.Contains(h.Extensions, ticket) || slices.Contains(h.Extensions, pskModes)
	}
	if asks(got) != asks(client) {
		t.Errorf("tickets asked for: %v, by the client %v", asks(got), asks(client))
	}
	if len(got.Tickets()) > 0 || got.EarlyData {
		t.Error("it offers what belongs to another leg")
	}
}

// TestHybridListedOnly is a client that knows of hybrid groups and sent no share
// of one.
func TestHybridListedOnly(t *testing.T) {
	client := &sniff.Hello{
		TLS:        flow.TLS{ServerName: "shop.example", Versions: []uint16{tls.VersionTLS13}},
		Extensions: []uint16{10, 43, 51}, Groups: []uint16{uint16(tls.X25519MLKEM768), uint16(tls.X25519)}, KeyShares: []uint16{uint16(tls.X25519)},
	}
	if got := sent(t, client, tlsterm.ConnectOptions{}); !slices.Equal(got.KeyShares, client.KeyShares) {
		t.Errorf("shares %x, the client's %x", got.KeyShares, client.KeyShares)
	}
	client.KeyShares = client.Groups
	if got := sent(t, client, tlsterm.ConnectOptions{}); !slices.Equal(got.KeyShares, client.KeyShares) {
		t.Errorf("shares %x, the client's %x", got.KeyShares, client.KeyShares)
	}
}

// TestOtherHandshaker puts another implementation where crypto/tls's hello is
// made.
func TestOtherHandshaker(t *testing.T) {
	w := newWorld(t)
	var asked *sniff.Hello
	mimic := func(ctx context.Context, c net.Conn, hello *sniff.Hello, o *tlsterm.ConnectOptions) (tlsterm.Agreement, error) {
		asked = hello
		s := tls.Client(c, &tls.Config{ServerName: "mimic.example", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12})
		if err := s.HandshakeContext(ctx); err != nil {
			return tlsterm.Agreement{WantsCert: true}, err
		}
		return tlsterm.Agreement{Stream: s, State: s.ConnectionState(), WantsCert: true}, nil
	}
	us, server := testnet.Pipe(clientAddr, serverAddr)
	defer us.Close()
	defer server.Close()
	go tls.Server(server, w.server).Handshake()
	hello := sniff.Stream(realHello(t)).Hello
	c, leg, err := tlsterm.Connect(t.Context(), us, hello, tlsterm.ConnectOptions{Roots: w.roots, Shake: mimic})
	if err != nil || asked != hello {
		t.Fatal(err)
	}
	if leg.ServerName != "mimic.example" || leg.JA4 == "" || leg.Version != tls.VersionTLS12 || !leg.WantsCert || leg.VerifyErr != "" || c.PeerCertificate() == nil {
		t.Errorf("recorded %+v", leg)
	}
	us, server = testnet.Pipe(clientAddr, serverAddr)
	defer us.Close()
	server.Close()
	_, _, err = tlsterm.Connect(t.Context(), us, hello, tlsterm.ConnectOptions{Shake: mimic})
	var failed *tlsterm.HandshakeError
	if !errors.As(err, &failed) || !failed.Server || !failed.WantsCert || failed.Resuming {
		t.Errorf("the error is %+v", err)
	}
}
