package tlsterm_test

import (
	"crypto/tls"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"

	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

func TestHowStreamsEnd(t *testing.T) {
	cases := map[string]struct {
		end  func(c *tls.Conn)
		want error
	}{
		"close-notify":     {func(c *tls.Conn) { c.CloseWrite() }, io.EOF},
		"close-notify-fin": {func(c *tls.Conn) { c.Close() }, io.EOF},
		"fin":              {func(c *tls.Conn) { c.NetConn().Close() }, io.ErrUnexpectedEOF},
		"fin-in-record":    {func(c *tls.Conn) { c.NetConn().Write([]byte{23, 3, 3}); c.NetConn().Close() }, io.ErrUnexpectedEOF},
		"reset":            {func(c *tls.Conn) { c.NetConn().(*testnet.Conn).SetLinger(0); c.NetConn().Close() }, syscall.ECONNRESET},
	}
	for name, c := range cases {
		for kind, version := range map[string]uint16{"tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13, "early": tls.VersionTLS13} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				w := newWorld(t)
				w.client.MaxVersion, w.early = version, kind == "early"
				r := w.run(t)
				r.ok(t)
				r.clientConn.Write([]byte("last"))
				c.end(r.clientConn)
				r.serverConn.Write([]byte("last"))
				c.end(r.serverConn)
				for leg, conn := range map[string]*tlsterm.Conn{"client": r.downConn, "server": r.upConn} {
					got, err := io.ReadAll(conn)
					if string(got) != "last" {
						t.Errorf("%s leg: read %q", leg, got)
					}
					if c.want == io.EOF && err != nil || c.want != io.EOF && !errors.Is(err, c.want) {
						t.Errorf("%s leg: %v, want %v", leg, err, c.want)
					}
					if got := conn.Refused(); got != "" {
						t.Errorf("%s leg: refused: %q", leg, got)
					}
				}
			})
		}
	}
}

func TestHalfClose(t *testing.T) { eitherWay(t, testHalfClose) }

func testHalfClose(t *testing.T, w *world) {
	r := w.run(t)
	r.ok(t)
	if err := r.downConn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.clientConn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("client reads %v, want EOF", err)
	}
	if _, err := r.clientConn.NetConn().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("client's socket reads %v, want a FIN", err)
	}
	if _, err := r.clientConn.Write([]byte("still")); err != nil {
		t.Fatal(err)
	}
	var got [5]byte
	if _, err := io.ReadFull(r.downConn, got[:]); err != nil {
		t.Errorf("after our FIN: %v", err)
	}
}

func TestTruncateAndReset(t *testing.T) { eitherWay(t, testTruncateAndReset) }

func testTruncateAndReset(t *testing.T, w *world) {
	r := w.run(t)
	r.ok(t)
	if err := r.downConn.Truncate(); err != nil {
		t.Fatal(err)
	}
	if n, err := r.clientConn.NetConn().Read(make([]byte, 99)); n != 0 || err != io.EOF {
		t.Errorf("client's socket reads %d bytes, %v; want a bare FIN", n, err)
	}
	r.upConn.Reset()
	if _, err := r.serverConn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("server reads %v, want a reset", err)
	}
	if _, err := r.upConn.Read(make([]byte, 1)); err == nil {
		t.Error("we can still read")
	}
}

func TestReadAndWriteAtOnce(t *testing.T) { eitherWay(t, testReadAndWriteAtOnce) }

func testReadAndWriteAtOnce(t *testing.T, w *world) {
	r := w.run(t)
	r.ok(t)
	var wg sync.WaitGroup
	const size = 1 << 20
	for _, pair := range []struct {
		from io.Writer
		to   io.Reader
	}{{r.clientConn, r.downConn}, {r.downConn, r.clientConn}} {
		wg.Go(func() {
			if _, err := pair.from.Write(make([]byte, size)); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if n, err := io.CopyN(io.Discard, pair.to, size); n != size {
				t.Error(n, err)
			}
		})
	}
	wg.Wait()
	if r.downConn.NetConn() == nil || r.downConn.PeerCertificate() != nil || r.upConn.PeerCertificate() == nil {
		t.Error("what lies below or beyond is not shown")
	}
}

// eitherWay runs f with a client of crypto/tls's, and with one of tls13's.
func eitherWay(t *testing.T, f func(t *testing.T, w *world)) {
	for name, early := range map[string]bool{"usual": false, "early": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.early = early
			f(t, w)
		})
	}
}
