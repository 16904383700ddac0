package flow

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// A Conn says who talked to whom, and how the proxy came to see it. It never
// changes: With and WithServer return copies.
type Conn struct {
	ID      ID
	Start   time.Time
	Network string         // "tcp" or "udp"
	Via     string         // how it was captured: "redirect", "tproxy", "divert", "direct"
	Client  netip.AddrPort // the peer's own address, never the proxy's
	Local   netip.AddrPort // the address the connection was accepted on
	Dst     netip.AddrPort // where the client meant to go; zero if that is unknown
	Host    string         // the name it asked an explicit proxy for, "" otherwise
	Process *Process       // the local program behind it, if known
	Device  *Device        // the device behind it, if known
	Layers  []Layer        // what has been found on the client's leg, outermost first
	Server  *Leg           // the server's leg; nil until it was tried
	Foreign string         // as Flow.Foreign
}

// With returns a copy of c with one more layer.
func (c *Conn) With(l Layer) *Conn {
	d := *c
	d.Layers = append(c.Layers[:len(c.Layers):len(c.Layers)], l)
	return &d
}

// WithServer returns a copy of c with the server's leg.
func (c *Conn) WithServer(l *Leg) *Conn {
	d := *c
	d.Server = l
	return &d
}

// Agreed returns a copy of c whose last layer, TLS, is t: what was offered is now
// agreed.
func (c *Conn) Agreed(t *TLS) *Conn {
	d := *c
	d.Layers = append([]Layer(nil), c.Layers...)
	if n := len(d.Layers); n > 0 {
		d.Layers[n-1].TLS = t
	}
	return &d
}

// H2 returns a copy of c whose last layer, HTTP/2, began as fingerprint says.
func (c *Conn) H2(fingerprint string) *Conn {
	d := *c
	d.Layers = append([]Layer(nil), c.Layers...)
	if n := len(d.Layers); n > 0 {
		d.Layers[n-1].H2 = fingerprint
	}
	return &d
}

// Last returns the innermost layer found so far, or the zero Layer.
func (c *Conn) Last() Layer {
	if len(c.Layers) == 0 {
		return Layer{}
	}
	return c.Layers[len(c.Layers)-1]
}

// TLS returns the client's outermost TLS layer, or nil.
func (c *Conn) TLS() *TLS {
	for i := range c.Layers {
		if c.Layers[i].TLS != nil {
			return c.Layers[i].TLS
		}
	}
	return nil
}

// Name returns the name a person would call the destination by: the innermost
// one the client said (Host, SNI, the name given to an explicit proxy), else
// the destination's address without port. It is the client's claim, not proof.
func (c *Conn) Name() string {
	for i := len(c.Layers) - 1; i >= 0; i-- {
		if h := c.Layers[i].Host; h != "" {
			return h
		}
	}
	if c.Host != "" {
		return c.Host
	}
	if c.Dst.IsValid() {
		return c.Dst.Addr().String()
	}
	return ""
}

// Target returns the destination as "host:port": the address it was captured
// with, or the name an explicit proxy was asked for.
func (c *Conn) Target() string {
	if c.Dst.Addr().IsValid() {
		return c.Dst.String()
	}
	if c.Host != "" {
		return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Dst.Port())))
	}
	return ""
}

// A Leg is one side's connection as the proxy made it.
type Leg struct {
	From, To netip.AddrPort // our address and the server's
	Dialed   time.Time      // when the connection stood
	TLS      *TLS           // what was agreed with the server, if TLS
	Err      string         // why it does not stand, "" if it does
	H2       string         // how we began HTTP/2 with it; see Layer
}

// A Layer is one protocol recognised inside a connection.
type Layer struct {
	Proto string // "tls", "http/1.1", "h2", "ws", "dns", "" for unknown
	TLS   *TLS   // for "tls"
	Host  string // the name the client asked for, if the layer says
	// H2 is, for "h2", how the client began: its fingerprint in the form
	// settings|window|priorities|pseudo-header order, "1:65536;4:131072|00|0|m,a,s,p".
	// "" until its first request.
	H2 string
}

// TLS is what is known of one TLS leg: the hello that opened it and what was
// agreed. On the client's leg the hello is the client's, on the server's leg
// ours.
type TLS struct {
	ServerName string   // the SNI as sent, odd bytes included; "" if none
	ALPN       []string // offered
	Versions   []uint16 // offered, without GREASE; from legacy_version if the extension is absent
	Hello      []byte   // the ClientHello handshake message as received (RFC 8446, 4.1.2), nil if unknown
	ECH        bool     // an encrypted_client_hello extension was present (it may be GREASE)
	JA3, JA4   string   // fingerprints of the hello

	Version     uint16 // agreed; 0 before the handshake ended
	CipherSuite uint16
	Protocol    string   // agreed ALPN protocol
	Group       uint16   // key exchange group (tls.CurveID)
	Chain       [][]byte // the peer's certificates, DER, leaf first
	VerifyErr   string   // why the server's chain was not accepted, "" if it was
	WantsCert   bool     // the server asked for a client certificate
	Resumed     bool
}
