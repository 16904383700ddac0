package sniff_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"slices"
	"testing"

	"transom/internal/proto/sniff"
)

// returning is the hello of a client that offers these to resume.
func returning(ticket []byte, identities ...[]byte) hello {
	h := plain()
	if ticket != nil {
		h.exts = append(h.exts, ext{35, ticket})
	}
	if identities == nil {
		return h
	}
	var ids, binders []byte
	for _, id := range identities {
		ids = append(ids, byte(len(id)>>8), byte(len(id)))
		ids = append(append(ids, id...), 0, 0, 0, 9)
		binders = append(append(binders, 32), make([]byte, 32)...)
	}
	psk := append([]byte{byte(len(ids) >> 8), byte(len(ids))}, ids...)
	psk = append(append(psk, byte(len(binders)>>8), byte(len(binders))), binders...)
	h.exts = append(h.exts, ext{45, []byte{1, 1}}, ext{41, psk})
	return h
}

func TestTickets(t *testing.T) {
	a, b, c := []byte("a"), []byte("bb"), []byte("ccc")
	cases := map[string]struct {
		h    hello
		want [][]byte
	}{
		"none":       {plain(), nil},
		"empty":      {returning([]byte{}), nil},
		"tls12":      {returning(a), [][]byte{a}},
		"tls13":      {returning([]byte{}, a, b), [][]byte{a, b}},
		"both":       {returning(c, a), [][]byte{a, c}},
		"many":       {returning(nil, a, a, a, a, b, c), [][]byte{a, a, a, a, b}},
		"malformed":  {hello{suites: []uint16{1}, exts: []ext{{41, []byte{0, 9, 0, 1, 'a', 0}}}}, nil},
		"cut":        {hello{suites: []uint16{1}, exts: []ext{{41, []byte{0, 4, 0, 1, 'a', 0}}}}, nil},
		"no-content": {hello{suites: []uint16{1}, exts: []ext{{41, nil}}}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, err := sniff.ParseClientHello(c.h.message())
			if err != nil {
				t.Fatal(err)
			}
			if got := h.Tickets(); !slices.EqualFunc(got, c.want, bytes.Equal) {
				t.Errorf("Tickets = %q, want %q", got, c.want)
			}
		})
	}
}

// FuzzTickets compares with what crypto/tls would try to resume.
func FuzzTickets(f *testing.F) {
	for _, s := range captured(f) {
		f.Add(body(s))
	}
	f.Add(returning([]byte("t"), []byte("a"), []byte("b")).message())
	f.Fuzz(func(t *testing.T, msg []byte) {
		h, err := sniff.ParseClientHello(msg)
		got := h.Tickets()
		if err != nil || len(msg) > sniff.MaxHello {
			return
		}
		var want [][]byte
		c := tls.Server(&replay{in: records(msg, 16384)}, &tls.Config{
			MinVersion: tls.VersionTLS10,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return nil, io.EOF
			},
			UnwrapSession: func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
				if len(ticket) > 0 {
					want = append(want, bytes.Clone(ticket))
				}
				return nil, nil
			},
		})
		_ = c.Handshake() // fails always
		for _, ticket := range want {
			if !slices.ContainsFunc(got, func(g []byte) bool { return bytes.Equal(g, ticket) }) {
				t.Errorf("crypto/tls sees %x, we see %x", want, got)
			}
		}
	})
}
