package export

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"transom/flow"
)

// jsonFlow is a "start" or an "end" line.
type jsonFlow struct {
	Type     string        `json:"type"`
	Event    string        `json:"event"`
	ID       jsonID        `json:"id"`
	ConnID   jsonID        `json:"conn"`
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration"`
	Capture  string        `json:"capture"`
	Network  string        `json:"network"`
	Client   struct {
		Addr    jsonAddr      `json:"addr"`
		MAC     string        `json:"mac"`
		Name    string        `json:"name"`
		NamedBy string        `json:"named_by"`
		Process *flow.Process `json:"process"` // whose members are called alike but for case
	} `json:"client"`
	Server struct {
		Dst   string   `json:"dst"`
		Host  string   `json:"host"`
		Addr  jsonAddr `json:"addr"`
		From  jsonAddr `json:"from"`
		Error string   `json:"error"`
	} `json:"server"`
	H2  struct{ Client, Server string } `json:"h2"`
	TLS struct {
		Client, Server *jsonTLS
	} `json:"tls"`
	jsonHTTP
	jsonMessages
	jsonConnection
	Query  *jsonDNS `json:"query"`
	Answer *jsonDNS `json:"answer"`
	Notes  []string `json:"notes"`
	Error  string   `json:"error"`
	Tags   []string `json:"tags"`
}

type jsonMessages struct {
	Handshake jsonID `json:"handshake"`
	URL       string `json:"url"`
	Messages  struct {
		ToServer jsonCount `json:"to_server"`
		ToClient jsonCount `json:"to_client"`
		Log      jsonBody  `json:"log"`
	} `json:"messages"`
}

type jsonCount struct{ Count, Bytes int64 }

type jsonConnection struct {
	Action string `json:"action"`
	Reason string `json:"reason"`
	Flows  int64  `json:"flows"`
	Bytes  struct {
		ToServer int64 `json:"to_server"`
		ToClient int64 `json:"to_client"`
	} `json:"bytes"`
	Close struct{ Client, Server string } `json:"close"`
}

// jsonID is an ID; the zero one if there is none.
type jsonID struct{ flow.ID }

// UnmarshalText implements encoding.TextUnmarshaler.
func (i *jsonID) UnmarshalText(b []byte) (err error) {
	i.ID, err = flow.ParseID(string(b))
	return err
}

// jsonAddr is host:port; the zero one if that is "".
type jsonAddr struct{ netip.AddrPort }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *jsonAddr) UnmarshalText(b []byte) (err error) {
	if len(b) > 0 {
		a.AddrPort, err = netip.ParseAddrPort(string(b))
	}
	return err
}

// flow makes a flow. Those of one connection share it, unless more was known of it later.
func (f *jsonFlow) flow(conns map[flow.ID]*flow.Conn, b *building) (*flow.Flow, error) {
	out := &flow.Flow{ID: f.ID.ID, Rev: 1, Start: f.Start, End: f.Start.Add(max(f.Duration, 0)), State: flow.Done, Err: f.Error, Tags: f.Tags}
	if f.Error != "" {
		out.State = flow.Failed
	}
	out.Conn = f.conn()
	if known := conns[f.ConnID.ID]; known != nil {
		if out.Conn.Start = known.Start; reflect.DeepEqual(known, out.Conn) {
			out.Conn = known
		}
	}
	if !f.ConnID.IsZero() {
		conns[f.ConnID.ID] = out.Conn
	}
	switch f.Type {
	case "http":
		out.Detail = f.http(f, b)
	case "dns":
		d := &flow.DNS{Notes: f.Notes}
		d.Query, d.Answer = f.Query.message(), f.Answer.message()
		out.Detail = d
	case "websocket", "tcp", "udp":
		m := &flow.Messages{Kind: f.Type, Handshake: f.Handshake.ID, Notes: f.Notes, Log: b.ref("log", &f.Messages.Log)}
		m.Count = [2]int64{f.Messages.ToServer.Count, f.Messages.ToClient.Count}
		m.Bytes = [2]int64{f.Messages.ToServer.Bytes, f.Messages.ToClient.Bytes}
		if f.URL != "" {
			m.Request = &flow.RequestHead{Method: "GET", Proto: flow.HTTP11}
			m.Request.Scheme, m.Request.Authority, m.Request.Target = cut(f.URL)
		}
		out.Detail = m
	case "conn", "tls":
		c := &flow.Connection{Action: f.Action, Reason: f.Reason, Flows: f.Flows, Bytes: [2]int64{f.Bytes.ToServer, f.Bytes.ToClient}}
		if f.Type == "tls" {
			c.Type = "tls"
		}
		c.Client, c.Server = closeOf(f.Close.Client), closeOf(f.Close.Server)
		out.Detail = c
		delete(conns, f.ConnID.ID) // its flows were printed before
	default:
		return nil, fmt.Errorf("a flow of type %q is not known", f.Type)
	}
	return out, nil
}

func closeOf(word string) flow.Close {
	for c := flow.NotClosed; c <= flow.HandshakeEnd; c++ {
		if c.String() == word {
			return c
		}
	}
	return flow.NotClosed
}

func (f *jsonFlow) conn() *flow.Conn {
	c := &flow.Conn{ID: f.ConnID.ID, Start: f.Start, Network: "tcp", Via: f.Capture, Client: f.Client.Addr.AddrPort, Host: f.Server.Host, Process: f.Client.Process}
	if f.Network != "" {
		c.Network = f.Network
	}
	if f.Client.MAC != "" || f.Client.Name != "" {
		c.Device = &flow.Device{MAC: f.Client.MAC, Name: f.Client.Name, NamedBy: f.Client.NamedBy}
	}
	if a, err := netip.ParseAddrPort(f.Server.Dst); err == nil {
		c.Dst = a
	} else if host, port, err := net.SplitHostPort(f.Server.Dst); err == nil {
		n, _ := strconv.ParseUint(port, 10, 16) // 0 is unknown
		c.Host, c.Dst = host, netip.AddrPortFrom(netip.Addr{}, uint16(n))
	}
	if t := f.TLS.Client; t != nil {
		c.Layers = append(c.Layers, flow.Layer{Proto: "tls", TLS: t.tls(), Host: bytesOf(t.SNI, t.Latin1)})
	}
	switch {
	case f.Type == "http" && f.Request != nil:
		l := flow.Layer{Proto: "http/1.1", H2: f.H2.Client}
		if strings.HasPrefix(f.Request.HTTP, "HTTP/2") {
			l.Proto = "h2"
		}
		c.Layers = append(c.Layers, l)
	case f.Type == "dns":
		c.Layers = append(c.Layers, flow.Layer{Proto: "dns"})
	}
	s := &f.Server
	if s.Addr.IsValid() || s.From.IsValid() || s.Error != "" || f.TLS.Server != nil {
		c.Server = &flow.Leg{From: s.From.AddrPort, To: s.Addr.AddrPort, Err: s.Error, TLS: f.TLS.Server.tls(), H2: f.H2.Server}
		if !c.Server.To.IsValid() && c.Dst.Addr().IsValid() {
			c.Server.To = c.Dst
		}
	}
	return c
}

// jsonTLS is one leg.
type jsonTLS struct {
	Version, Cipher, ALPN, SNI string
	Offered                    []string
	JA3, JA4                   string
	VerifyError                string `json:"verify_error"`
	ECH, Resumed               bool
	WantsCert                  bool `json:"wants_cert"`
	Latin1                     bool
}

func (t *jsonTLS) tls() *flow.TLS {
	if t == nil {
		return nil
	}
	out := &flow.TLS{
		ServerName: bytesOf(t.SNI, t.Latin1), Protocol: bytesOf(t.ALPN, t.Latin1), JA3: t.JA3, JA4: t.JA4, VerifyErr: t.VerifyError,
		ECH: t.ECH, Resumed: t.Resumed, WantsCert: t.WantsCert,
	}
	for _, p := range t.Offered {
		out.ALPN = append(out.ALPN, bytesOf(p, t.Latin1))
	}
	for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
		if tls.VersionName(v) == t.Version {
			out.Version = v
		}
	}
	for id, name := range cipherNames {
		if name == t.Cipher {
			out.CipherSuite = id
		}
	}
	if n, err := strconv.ParseUint(strings.TrimPrefix(t.Cipher, "0x"), 16, 16); err == nil {
		out.CipherSuite = uint16(n)
	}
	return out
}

// bytesOf undoes what latin1 says.
func bytesOf(s string, latin1 bool) string {
	if !latin1 {
		return s
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}
