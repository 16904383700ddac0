package tlsterm_test

import (
	"crypto/tls"
	"testing"
)

// TestEarlyData is about clients that crypto/tls would turn away. Theirs is a
// handshake like any other.
func TestEarlyData(t *testing.T) {
	w := newWorld(t)
	w.early = true
	w.client.NextProtos, w.server.NextProtos = []string{"h2", "http/1.1"}, []string{"http/1.1"}
	r := w.run(t)
	r.ok(t)
	got := r.client
	if got.Version != tls.VersionTLS13 || got.NegotiatedProtocol != "http/1.1" || got.DidResume {
		t.Errorf("client has %+v", got)
	}
	if d := r.down; d.Version != got.Version || d.CipherSuite != got.CipherSuite || d.Protocol != "http/1.1" || tls.CurveID(d.Group) != got.CurveID || d.Resumed {
		t.Errorf("recorded %+v", d)
	}
	if r.up.Resumed || r.up.Version != tls.VersionTLS13 {
		t.Errorf("server leg %+v", r.up)
	}
}

// TestEarlyDataAndServerBefore13: TLS 1.2 is agreed to, as with the server; such
// a client has to try again without early data (RFC 8446, appendix D.3).
func TestEarlyDataAndServerBefore13(t *testing.T) {
	w := newWorld(t)
	w.early, w.server.MaxVersion = true, tls.VersionTLS12
	r := w.run(t)
	if r.ok(t); r.client.Version != tls.VersionTLS12 {
		t.Errorf("client has %+v", r.client)
	}
}
