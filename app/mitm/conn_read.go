package mitm

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"net/netip"
	"strings"
	"time"

	"transom/app/export"
	"transom/flow"
)

// A connReader makes connections of client_conn and server_conn. Flows of one
// connection share it, as far as the last few connections go.
type connReader struct {
	seed  maphash.Seed
	known map[uint64]*flow.Conn
	ring  [64]uint64
	next  int
}

func (r *connReader) conn(f value) *flow.Conn {
	client, server, meta := f.get("client_conn"), f.get("server_conn"), f.get("metadata").get(metaConn)
	version := "" // of HTTP: part of a connection that nobody has described
	if meta.null() {
		version = f.get("request").get("http_version").text()
	}
	if r.known == nil {
		r.seed, r.known = maphash.MakeSeed(), map[uint64]*flow.Conn{}
	}
	var h maphash.Hash
	h.SetSeed(r.seed)
	for _, b := range [][]byte{client.b, server.b, meta.b, []byte(version)} {
		h.Write(b)
		h.WriteByte(0)
	}
	key := h.Sum64()
	if c := r.known[key]; c != nil {
		return c
	}
	c := described(client, server, meta)
	if c == nil {
		c = told(client, server, version)
	}
	c.Foreign = connAside(c, client, server, int(f.get("version").int()))
	delete(r.known, r.ring[r.next])
	r.known[key], r.ring[r.next] = c, key
	r.next = (r.next + 1) % len(r.ring)
	return c
}

// described returns the connection that our metadata is of, if the rest agrees with
// it.
func described(client, server, meta value) *flow.Conn {
	if meta.null() {
		return nil
	}
	var m connMeta
	if json.Unmarshal(meta.bytes(), &m) != nil {
		return nil
	}
	c := m.conn(client, server)
	host, port := destination(c)
	t, s := c.TLS(), (*flow.TLS)(nil)
	to, from := netip.AddrPort{}, netip.AddrPort{}
	if c.Server != nil {
		s, to, from = c.Server.TLS, c.Server.To, c.Server.From
	}
	if !same(client.get("peername", "address"), hostOf(c.Client), int(c.Client.Port())) ||
		!same(client.get("sockname"), hostOf(c.Local), int(c.Local.Port())) ||
		!same(server.get("address"), host, port) ||
		!same(server.get("peername", "ip_address"), hostOf(to), int(to.Port())) ||
		!same(server.get("sockname", "source_address"), hostOf(from), int(from.Port())) ||
		!sameTLS(client, t) || !sameTLS(server, s) {
		return nil
	}
	return c
}

func hostOf(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return ""
	}
	return a.Addr().String()
}

func same(v value, host string, port int) bool {
	if v.null() {
		return host == ""
	}
	return v.at(0).text() == valid(host) && v.at(1).int() == int64(port)
}

func sameTLS(v value, t *flow.TLS) bool {
	if t == nil {
		return !v.get("tls").bool()
	}
	return v.get("sni").text() == valid(t.ServerName) && bytes.Equal(v.get("alpn").bytes(), []byte(t.Protocol)) &&
		v.get("tls_version").text() == tlsVersions[t.Version]
}

// told makes a connection of what mitmproxy tells.
func told(client, server value, version string) *flow.Conn {
	c := &flow.Conn{
		Start: client.get("timestamp_start").time(), Network: "tcp", Via: "transparent",
		Client: address(client.get("peername", "address")), Local: address(client.get("sockname")),
	}
	c.ID = idOf(client.get("id"), c.Start)
	if client.get("transport_protocol").text() == "udp" {
		c.Network = "udp"
	}
	if m := client.get("proxy_mode").text(); m != "" {
		c.Via, _, _ = strings.Cut(m, ":")
	}
	to := server.get("address")
	c.Dst = address(to)
	if host := hostText(to); !c.Dst.Addr().IsValid() && host != "" {
		c.Host = host
	}
	if t := toldTLS(client); t != nil {
		c.Layers = append(c.Layers, flow.Layer{Proto: "tls", Host: t.ServerName, TLS: t})
	}
	switch {
	case version == "":
	case versionOf(version) == flow.HTTP2:
		c.Layers = append(c.Layers, flow.Layer{Proto: "h2"})
	case versionOf(version) == flow.HTTP3:
		c.Layers = append(c.Layers, flow.Layer{Proto: "h3"})
	default:
		c.Layers = append(c.Layers, flow.Layer{Proto: "http/1.1"})
	}
	c.Server = toldServer(server)
	return c
}

// toldServer is nil for a server that nobody has tried to connect to.
func toldServer(v value) *flow.Leg {
	l := &flow.Leg{
		To: address(v.get("peername", "ip_address")), From: address(v.get("sockname", "source_address")),
		Dialed: v.get("timestamp_tcp_setup").time(), Err: v.get("error").text(), TLS: toldTLS(v),
	}
	if l.Dialed.IsZero() && l.Err == "" && !l.To.IsValid() {
		return nil
	}
	return l
}

func toldTLS(v value) *flow.TLS {
	if !v.get("tls", "tls_established", "ssl_established").bool() {
		return nil
	}
	t := &flow.TLS{ServerName: v.get("sni").text(), Protocol: v.get("alpn", "alpn_proto_negotiated").text(), Chain: chain(v.get("certificate_list"))}
	for id, name := range tlsVersions {
		if name == v.get("tls_version").text() {
			t.Version = id
		}
	}
	if len(t.Chain) == 0 { // as it was until version 9
		t.Chain = chain(value{tag: tagList, b: single(v.get("cert", "clientcert"))})
	}
	for in := range v.get("alpn_offers").items() {
		t.ALPN = append(t.ALPN, in.text())
	}
	t.CipherSuite = suiteOf(v.get("cipher", "cipher_name").text())
	return t
}

// single returns the payload of a list of one value.
func single(v value) []byte {
	if v.null() {
		return nil
	}
	var b builder
	b.put(v.tag, v.b)
	return b.out()
}

// address reads [host, port] and what else may stand behind; before version 2 it was in
// a dict. It is zero if the host is a name.
func address(v value) netip.AddrPort {
	if in := v.get("address"); !in.null() {
		v = in
	}
	a := addrPort(v.at(0).text(), int(v.at(1).int()))
	if !a.IsValid() && v.at(0).text() != "" && v.at(1).int() > 0 && v.at(1).int() < 1<<16 {
		return netip.AddrPortFrom(netip.Addr{}, uint16(v.at(1).int()))
	}
	return a
}

func hostText(v value) string {
	if in := v.get("address"); !in.null() {
		v = in
	}
	return v.at(0).text()
}

// idOf keeps an ID that sorts by time. Another becomes one, always the same: mitmproxy's
// are random, and a store has its flows in their order.
func idOf(v value, at time.Time) flow.ID {
	id, err := flow.ParseID(v.text())
	if err == nil && id[6]>>4 == 7 {
		return id
	}
	return export.TimedID(v.text(), at)
}
