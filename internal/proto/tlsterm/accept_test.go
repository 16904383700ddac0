package tlsterm_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"transom/ca"
	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

// TestWithoutServer is for a server that was not reached: the owner serves the
// client itself.
func TestWithoutServer(t *testing.T) {
	cases := map[string]struct {
		offer []string
		want  string
		alert tlsterm.Alert
	}{
		"http":    {[]string{"h2", "http/1.1"}, "http/1.1", 0},
		"none":    {nil, "", 0},
		"only-h2": {[]string{"h2"}, "", tlsterm.NoApplicationProtocol},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, w *world) {
				w.client.NextProtos = c.offer
				client, us := testnet.Pipe(clientAddr, serverAddr)
				defer client.Close()
				defer us.Close()
				var wg sync.WaitGroup
				defer wg.Wait()
				tc := tls.Client(client, w.client)
				var clientErr error
				wg.Go(func() { clientErr = tc.Handshake() })
				prefix, hello := peek(t, us)
				hello.EarlyData = w.early
				_, leg, err := tlsterm.Accept(t.Context(), us, prefix, hello, tlsterm.Options{
					Issuer: ours(), Dst: serverAddr.Addr(), Speak: []string{"http/1.1", "http/1.0"},
				})
				wg.Wait()
				if c.alert != 0 {
					wantAlert(t, clientErr, c.alert)
					return
				}
				if err != nil || clientErr != nil {
					t.Fatal(err, clientErr)
				}
				if leg.Protocol != c.want || leg.Version != tls.VersionTLS13 {
					t.Errorf("agreed on %q, %x", leg.Protocol, leg.Version)
				}
			})
		})
	}
}

// asked is an issuer that notes what it was asked for.
type asked struct {
	broken
	leaf ca.Leaf
}

func (a *asked) Issue(_ context.Context, l ca.Leaf) (*tls.Certificate, error) {
	a.leaf = l
	return nil, errors.New("only asked")
}

func TestKeyFitsClient(t *testing.T) {
	files, err := filepath.Glob("../sniff/testdata/*.hello")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded hellos: %v", err)
	}
	ask := func(t *testing.T, hello *sniff.Hello) ca.Leaf {
		var a asked
		tlsterm.Accept(t.Context(), &buffer{}, nil, hello, tlsterm.Options{Issuer: &a, Dst: serverAddr.Addr()})
		if a.leaf.Addr != serverAddr.Addr() || a.leaf.Name != hello.TLS.ServerName {
			t.Errorf("asked for %+v", a.leaf)
		}
		return a.leaf
	}
	for _, file := range files {
		stream, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		hello := sniff.Stream(stream).Hello
		if got, want := ask(t, hello).RSA, filepath.Base(file) == "openssl-rsa-kex.hello"; got != want {
			t.Errorf("%s: RSA %v, want %v", file, got, want)
		}
		changed := *hello
		changed.SignatureAlgorithms = []uint16{uint16(tls.PSSWithSHA256), uint16(tls.PKCS1WithSHA256)}
		if len(hello.SignatureAlgorithms) > 0 && !ask(t, &changed).RSA {
			t.Errorf("%s without ECDSA signatures: ECDSA", file)
		}
	}
}

func TestAnswerable(t *testing.T) {
	files, _ := filepath.Glob("../sniff/testdata/*.hello")
	for _, file := range files {
		stream, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		hello := sniff.Stream(stream).Hello
		if err := tlsterm.Answerable(stream, hello); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		old, odd := *hello, *hello
		old.LegacyVersion, old.TLS.Versions = 0x0300, nil
		odd.LegacyVersion, odd.TLS.Versions, odd.CipherSuites = 0x0303, []uint16{0x0303}, []uint16{0x33, 0xff}
		if tlsterm.Answerable(stream, &old) == nil || tlsterm.Answerable(stream, &odd) == nil {
			t.Errorf("%s: SSL 3.0 or unknown cipher suites taken", file)
		}
		dotted := bytes.Replace(stream, []byte("shop.example"), []byte("shop.exampl."), 1)
		if bytes.Equal(dotted, stream) {
			continue
		}
		if err := tlsterm.Answerable(dotted, sniff.Stream(dotted).Hello); err == nil {
			t.Errorf("%s with a final dot: taken", file)
		}
	}
}
