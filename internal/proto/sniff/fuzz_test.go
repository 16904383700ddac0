package sniff_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"transom/internal/proto/sniff"
)

func FuzzStream(f *testing.F) {
	for _, s := range captured(f) {
		f.Add(s, uint16(1))
		f.Add(records(body(s), 3), uint16(7))
	}
	for _, s := range []string{"GET / HTTP/1.1\r\n", "\r\nPOST /a HTTP/1.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "EHLO a\r\n", "\x16\x03\x01\x00\x00"} {
		f.Add([]byte(s), uint16(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		checkSplits(t, in, 1+int(step)+len(in)/256)
	})
}

// FuzzParseClientHello compares with crypto/tls: what that accepts must parse,
// with the same meaning.
func FuzzParseClientHello(f *testing.F) {
	for _, s := range captured(f) {
		f.Add(body(s))
	}
	f.Add(plain().message())
	f.Add(ja4Example("h2").message())
	f.Add(hello{version: 0x0301, suites: []uint16{0x2f}, noExts: true}.message())
	f.Fuzz(func(t *testing.T, msg []byte) {
		got, err := sniff.ParseClientHello(msg)
		want := judge(msg)
		if want == nil {
			return
		}
		if err != nil {
			t.Fatalf("crypto/tls accepts what we refuse: %v", err)
		}
		if got.TLS.ServerName != want.ServerName {
			t.Errorf("name %q, crypto/tls %q", got.TLS.ServerName, want.ServerName)
		}
		if !slices.Equal(got.TLS.ALPN, want.SupportedProtos) {
			t.Errorf("ALPN %q, crypto/tls %q", got.TLS.ALPN, want.SupportedProtos)
		}
		if !slices.Equal(got.CipherSuites, want.CipherSuites) || !slices.Equal(got.Extensions, want.Extensions) {
			t.Errorf("suites %x, extensions %x; crypto/tls %x, %x", got.CipherSuites, got.Extensions, want.CipherSuites, want.Extensions)
		}
		if !slices.EqualFunc(got.Groups, want.SupportedCurves, func(a uint16, b tls.CurveID) bool { return a == uint16(b) }) {
			t.Errorf("groups %x, crypto/tls %x", got.Groups, want.SupportedCurves)
		}
		if !slices.EqualFunc(got.SignatureAlgorithms, want.SignatureSchemes, func(a uint16, b tls.SignatureScheme) bool { return a == uint16(b) }) {
			t.Errorf("signature algorithms %x, crypto/tls %x", got.SignatureAlgorithms, want.SignatureSchemes)
		}
		for _, typ := range got.Extensions {
			if _, ok := got.Extension(typ); !ok {
				t.Errorf("extension %d is not found again", typ)
			}
		}
		if slices.Contains(got.Extensions, 43) { // else crypto/tls makes a list up
			v := slices.DeleteFunc(slices.Clone(want.SupportedVersions), func(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff })
			if !slices.Equal(got.TLS.Versions, v) {
				t.Errorf("versions %x, crypto/tls %x", got.TLS.Versions, v)
			}
		}
	})
}

// judge lets crypto/tls read a hello, and returns what it understood, nil if it
// refused.
func judge(msg []byte) *tls.ClientHelloInfo {
	if len(msg) < 4 || msg[0] != 1 || len(msg) > sniff.MaxHello {
		return nil
	}
	if size := int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3]); size != len(msg)-4 {
		return nil // crypto/tls would leave the rest for later
	}
	var info *tls.ClientHelloInfo
	c := tls.Server(&replay{in: records(msg, 16384)}, &tls.Config{
		GetConfigForClient: func(chi *tls.ClientHelloInfo) (*tls.Config, error) {
			info = chi
			return nil, errors.New("seen enough")
		},
	})
	_ = c.Handshake() // fails always
	return info
}

// replay is a conn from which in can be read.
type replay struct{ in []byte }

func (r *replay) Read(p []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *replay) Write(p []byte) (int, error)      { return len(p), nil }
func (r *replay) Close() error                     { return nil }
func (r *replay) LocalAddr() net.Addr              { return nil }
func (r *replay) RemoteAddr() net.Addr             { return nil }
func (r *replay) SetDeadline(time.Time) error      { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }
