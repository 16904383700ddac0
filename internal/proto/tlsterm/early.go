package tlsterm

import (
	"context"
	"crypto/tls"
	"slices"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tls13"
)

// Early data (RFC 8446, section 4.2.10) comes from clients that hold a ticket of
// the real server, from before they came through us. Ours never allow it, and it
// can't be relayed: it is encrypted for the server, and a request that may be
// replayed is not for us to send. A server may refuse it, and then the client
// sends all again; so that is what we do.
//
// crypto/tls does not: it ends the connection with an alert, and a client of
// OpenSSL's has then failed. It can't be kept from seeing the extension, either:
// both sides' keys and signatures depend on all of the hello. Passing such
// connections undecrypted would hide the first visit to each server. So they are
// answered by the small implementation in tls13, which refuses early data as the
// RFC says. OpenSSL's clients go on with the connection; Chromium closes it, and
// comes again without early data. These connections get no ticket.
//
// A client whose server has gone back to TLS 1.2 is answered by that, and has to
// try again without early data (RFC 8446, appendix D.3).

// early reports whether a client sends early data to a server of TLS up to high,
// and agrees to TLS 1.3.
func early(h *sniff.Hello, high uint16) bool {
	return h.EarlyData && version(h, high) == tls.VersionTLS13
}

// acceptEarly is the handshake of a client that sends early data.
func acceptEarly(ctx context.Context, w *wire, hello *sniff.Hello, cfg *tls.Config) (Stream, tls.ConnectionState, error) {
	protocol, err := choose(hello.TLS.ALPN, cfg.NextProtos)
	if err != nil {
		_ = SendAlert(w, hello, NoApplicationProtocol) // the error is what counts
		return nil, tls.ConnectionState{}, err
	}
	cert, err := cfg.GetCertificate(nil)
	if err != nil {
		return nil, tls.ConnectionState{}, err
	}
	c, state, err := tls13.Accept(ctx, w, hello, tls13.Config{Certificate: cert, Protocol: protocol, KeyLog: cfg.KeyLogWriter})
	if err != nil {
		return nil, state, err // not a nil *tls13.Conn
	}
	return c, state, nil
}

// choose returns the first of our protocols that the client offers, "" if one
// side has none (RFC 7301, section 3.2).
func choose(offered, ours []string) (string, error) {
	if len(offered) == 0 || len(ours) == 0 {
		return "", nil
	}
	for _, p := range ours {
		if slices.Contains(offered, p) {
			return p, nil
		}
	}
	return "", NoApplicationProtocol
}
