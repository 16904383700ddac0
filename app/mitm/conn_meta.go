package mitm

import (
	"encoding/json"
	"encoding/pem"

	"transom/flow"
)

// connJSON returns what mitmproxy's form lacks of c.
func connJSON(c *flow.Conn) ([]byte, error) {
	m := connMeta{Network: c.Network, Via: c.Via, Host: text(c.Host), Client: c.Client, Local: c.Local, Dst: c.Dst}
	if p := c.Process; p != nil {
		m.Process = &processMeta{
			PID: p.PID, Name: text(p.Name), Path: text(p.Path), UID: p.UID, User: text(p.User),
			Cgroup: text(p.Cgroup), Container: text(p.Container), Unit: text(p.Unit),
		}
	}
	if d := c.Device; d != nil {
		m.Device = &deviceMeta{MAC: d.MAC, Name: text(d.Name), By: d.NamedBy}
	}
	first := c.TLS()
	for _, l := range c.Layers {
		lm := layerMeta{Proto: l.Proto, Host: text(l.Host), H2: text(l.H2), TLS: tlsMetaOf(l.TLS, l.TLS == first)}
		m.Layers = append(m.Layers, lm)
	}
	if l := c.Server; l != nil {
		m.Server = &legMeta{From: l.From, To: l.To, Err: text(l.Err), H2: text(l.H2), TLS: tlsMetaOf(l.TLS, true)}
	}
	return json.Marshal(&m)
}

// tlsMetaOf takes t apart; shown is of the one that stands in client_conn or
// server_conn.
func tlsMetaOf(t *flow.TLS, shown bool) *tlsMeta {
	if t == nil {
		return nil
	}
	m := &tlsMeta{
		Name: text(t.ServerName), ALPN: texts(t.ALPN), Versions: t.Versions, Hello: t.Hello, ECH: t.ECH, JA3: t.JA3, JA4: t.JA4,
		Version: t.Version, Suite: t.CipherSuite, Protocol: text(t.Protocol), Group: t.Group,
		VerifyErr: text(t.VerifyErr), WantsCert: t.WantsCert, Resumed: t.Resumed,
	}
	if m.Listed = shown && len(t.Chain) > 0 && listed(t.Chain); !m.Listed {
		m.Chain = t.Chain
	}
	return m
}

func (m *tlsMeta) tls(certificates value) *flow.TLS {
	if m == nil {
		return nil
	}
	t := &flow.TLS{
		ServerName: string(m.Name), ALPN: untexts(m.ALPN), Versions: m.Versions, Hello: m.Hello, ECH: m.ECH, JA3: m.JA3, JA4: m.JA4,
		Version: m.Version, CipherSuite: m.Suite, Protocol: string(m.Protocol), Group: m.Group, Chain: m.Chain,
		VerifyErr: string(m.VerifyErr), WantsCert: m.WantsCert, Resumed: m.Resumed,
	}
	if m.Listed {
		t.Chain = chain(certificates)
	}
	return t
}

// conn returns the connection of m, whose times and certificates are in the dicts
// of mitmproxy.
func (m *connMeta) conn(client, server value) *flow.Conn {
	c := &flow.Conn{
		Start: client.get("timestamp_start").time(), Network: m.Network, Via: m.Via, Host: string(m.Host),
		Client: m.Client, Local: m.Local, Dst: m.Dst,
	}
	c.ID = idOf(client.get("id"), c.Start)
	if p := m.Process; p != nil {
		c.Process = &flow.Process{
			PID: p.PID, Name: string(p.Name), Path: string(p.Path), UID: p.UID, User: string(p.User),
			Cgroup: string(p.Cgroup), Container: string(p.Container), Unit: string(p.Unit),
		}
	}
	if d := m.Device; d != nil {
		c.Device = &flow.Device{MAC: d.MAC, Name: string(d.Name), NamedBy: d.By}
	}
	for _, l := range m.Layers {
		c.Layers = append(c.Layers, flow.Layer{Proto: l.Proto, Host: string(l.Host), H2: string(l.H2), TLS: l.TLS.tls(client.get("certificate_list"))})
	}
	if l := m.Server; l != nil {
		c.Server = &flow.Leg{
			From: l.From, To: l.To, Dialed: server.get("timestamp_tcp_setup").time(), Err: string(l.Err), H2: string(l.H2),
			TLS: l.TLS.tls(server.get("certificate_list")),
		}
	}
	return c
}

// chain reads certificates.
func chain(v value) (ders [][]byte) {
	for in := range v.items() {
		if block, _ := pem.Decode(in.bytes()); block != nil {
			ders = append(ders, block.Bytes)
		}
	}
	return ders
}
