package mitm

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"time"

	"transom/flow"
)

// tlsVersions are the names mitmproxy knows; any other makes it refuse a file.
var tlsVersions = map[uint16]string{
	0x0300: "SSLv3", tls.VersionTLS10: "TLSv1", tls.VersionTLS11: "TLSv1.1", tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3",
	0xfeff: "DTLSv1", 0xfefd: "DTLSv1.2",
}

// An end is one side of a connection as mitmproxy has it.
type end struct {
	id       string
	network  string
	peer, us netip.AddrPort
	tls      *flow.TLS
	err      string
	start    time.Time
	set      time.Time // when TLS stood: mitmproxy shows nothing of TLS without it
}

// clientEnd puts client_conn.
func (b *builder) clientEnd(c *flow.Conn, version int) {
	e := end{id: c.ID.String(), network: c.Network, peer: c.Client, us: c.Local, tls: c.TLS(), start: c.Start, set: c.Start}
	at := b.open(tagDict)
	b.end(&e, version)
	b.keyNull("mitmcert")
	if version >= 18 {
		b.keyText("proxy_mode", mode(c))
	}
	if version < 19 {
		b.list("tls_extensions")
		b.address("address", e.peer, true)
		b.address("sockname", e.us, true)
	} else {
		b.address("peername", e.peer, true)
		b.address("sockname", e.us, true)
	}
	b.keyTime("timestamp_start", notZero(e.start))
	b.close(at)
	b.key("client_conn")
}

// mode is one of mitmproxy's.
func mode(c *flow.Conn) string {
	switch c.Via {
	case "direct", "proxy", "connect", "regular":
		return "regular"
	}
	return "transparent"
}

// serverEnd puts server_conn.
func (b *builder) serverEnd(c *flow.Conn, version int) {
	id := c.ID
	id[15] ^= 1 // it has none of its own
	e := end{id: id.String(), network: c.Network}
	if l := c.Server; l != nil {
		e.peer, e.us, e.tls, e.err, e.start, e.set = l.To, l.From, l.TLS, l.Err, l.Dialed, l.Dialed
		if e.set.IsZero() {
			e.set = c.Start
		}
	}
	at := b.open(tagDict)
	b.end(&e, version)
	b.serverAddress(c)
	b.keyTime("timestamp_tcp_setup", e.start)
	b.keyNull("via")
	if version < 19 {
		b.keyNull("via2")
		b.address("ip_address", e.peer, false)
		b.address("source_address", e.us, false)
	} else {
		b.address("peername", e.peer, false)
		b.address("sockname", e.us, false)
	}
	b.keyTime("timestamp_start", e.start)
	b.close(at)
	b.key("server_conn")
}

// end puts what both sides have.
func (b *builder) end(e *end, version int) {
	t := e.tls
	none := t == nil
	if none {
		t = &flow.TLS{}
	}
	up := !none && t.Version != 0
	b.keyText("id", e.id)
	b.keySome("error", e.err)
	b.keyBool("tls", !none)
	b.certificates(t.Chain)
	b.keySomeBytes("alpn", t.Protocol)
	b.alpnOffers(t.ALPN)
	b.keySome(renamed(version, "cipher_name", "cipher"), cipher(t.CipherSuite))
	b.list("cipher_list")
	b.keySome("tls_version", tlsVersions[t.Version])
	b.keySome("sni", t.ServerName)
	b.keyNull("timestamp_end")
	if up {
		b.keyTime("timestamp_tls_setup", e.set)
	} else {
		b.keyNull("timestamp_tls_setup")
	}
	if version < 19 {
		b.keyBool("tls_established", up)
	}
	if version >= 18 {
		b.keyText("transport_protocol", network(e.network))
	}
	if version < 20 {
		b.keyInt("state", 0) // closed
	}
}

func renamed(version int, old, current string) string {
	if version < 19 {
		return old
	}
	return current
}

func network(n string) string {
	if n == "udp" {
		return n
	}
	return "tcp"
}

// list puts an empty one.
func (b *builder) list(name string) {
	b.close(b.open(tagList))
	b.key(name)
}

func (b *builder) keySomeBytes(name, s string) {
	if s == "" {
		b.keyNull(name)
	} else {
		b.keyBytes(name, s)
	}
}

func (b *builder) alpnOffers(names []string) {
	at := b.open(tagList)
	for i := len(names) - 1; i >= 0; i-- {
		b.string(tagBytes, names[i])
	}
	b.close(at)
	b.key("alpn_offers")
}

// certificates puts those that can be read: mitmproxy refuses files with others.
func (b *builder) certificates(chain [][]byte) {
	at := b.open(tagList)
	if listed(chain) {
		for i := len(chain) - 1; i >= 0; i-- {
			b.put(tagBytes, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[i]}))
		}
	}
	b.close(at)
	b.key("certificate_list")
}

func listed(chain [][]byte) bool {
	for _, der := range chain {
		if _, err := x509.ParseCertificate(der); err != nil {
			return false
		}
	}
	return true
}

// address puts host and port. always is where there must be one.
func (b *builder) address(name string, a netip.AddrPort, always bool) {
	if !a.IsValid() && !always {
		b.keyNull(name)
		return
	}
	host := ""
	if a.Addr().IsValid() {
		host = a.Addr().String()
	}
	b.hostPort(name, host, int(a.Port()))
}

func (b *builder) serverAddress(c *flow.Conn) {
	host, port := destination(c)
	if host == "" {
		b.keyNull("address")
		return
	}
	b.hostPort("address", host, port)
}

func (b *builder) hostPort(name, host string, port int) {
	at := b.open(tagList)
	b.int(int64(port))
	b.string(tagText, valid(host))
	b.close(at)
	b.key(name)
}

// notZero is for times that mitmproxy wants to have.
func notZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
}
