package mitm

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"transom/flow"
)

// A form is the head of a request or a response as mitmproxy's files have it.
type form struct {
	host      string
	port      int
	method    string
	scheme    string
	authority string
	path      string
	status    int
	reason    string
	version   string
	header    flow.Header
}

// requestOf puts a head into mitmproxy's form: authority is what the request line or
// :authority says, and not Host; host and port are where it is sent.
func requestOf(c *flow.Conn, r *flow.RequestHead) form {
	m := form{method: r.Method, scheme: r.Scheme, path: r.Target, version: versionName(r.Proto), header: r.Header}
	if m.scheme == "" {
		m.scheme = "http"
	}
	m.host, m.port = destination(c)
	switch scheme, rest, ok := strings.Cut(r.Target, "://"); {
	case r.Method == "CONNECT" && r.Protocol == "":
		m.authority, m.path, m.scheme = r.Target, "", ""
		m.host, m.port = hostPort(r.Target, 443)
	case r.Proto >= flow.HTTP2:
		m.authority = r.Authority
	case ok && !strings.ContainsAny(scheme, "/?#") && scheme != "":
		at := strings.IndexAny(rest, "/?#")
		if at < 0 {
			at = len(rest)
		}
		m.scheme, m.authority, m.path = scheme, rest[:at], rest[at:]
		m.host, m.port = hostPort(m.authority, portOf(scheme))
	}
	if m.host == "" { // nobody knows where it went
		m.host, m.port = hostPort(r.Authority, portOf(m.scheme))
	}
	return m
}

// request is the reverse of requestOf, as far as can be told.
func (m *form) request() *flow.RequestHead {
	r := &flow.RequestHead{
		Method: m.method, Scheme: m.scheme, Authority: m.authority, Target: m.path, Proto: versionOf(m.version), Header: m.header,
	}
	if r.Authority == "" {
		r.Authority = r.Header.Get("Host")
	}
	switch {
	case m.method == "CONNECT" && m.path == "":
		r.Target = m.authority
		if r.Target == "" {
			r.Target = net.JoinHostPort(m.host, strconv.Itoa(m.port))
		}
		if r.Scheme == "" {
			r.Scheme = "http"
		}
	case r.Proto < flow.HTTP2 && m.authority != "":
		r.Target = m.scheme + "://" + m.authority + m.path
		if host, ok := r.Header.Lookup("Host"); ok {
			r.Authority = host
		}
	}
	return r
}

func responseOf(r *flow.ResponseHead) form {
	return form{status: r.Status, reason: r.Reason, version: versionName(r.Proto), header: r.Header}
}

func (m *form) response() *flow.ResponseHead {
	return &flow.ResponseHead{Status: m.status, Reason: m.reason, Proto: versionOf(m.version), Header: m.header}
}

// sum is of all that flow's heads are made of.
func (m *form) sum() string {
	fields := []string{m.method, m.scheme, m.authority, m.path, strconv.Itoa(m.status), m.reason, m.version}
	for i := range m.header {
		fields = append(fields, m.header[i].Name, m.header[i].Value)
	}
	return sum(fields...)
}

// versionName is as mitmproxy has it.
func versionName(p flow.Proto) string {
	if p == flow.HTTP3 {
		return "HTTP/3"
	}
	return p.String()
}

func versionOf(s string) flow.Proto {
	switch s {
	case "HTTP/1.0", "HTTP/0.9":
		return flow.HTTP10
	case "HTTP/2.0", "HTTP/2":
		return flow.HTTP2
	case "HTTP/3", "HTTP/3.0":
		return flow.HTTP3
	}
	return flow.HTTP11
}

// destination is where a connection was meant to go.
func destination(c *flow.Conn) (host string, port int) {
	if c == nil {
		return "", 0
	}
	if c.Dst.Addr().IsValid() {
		return c.Dst.Addr().String(), int(c.Dst.Port())
	}
	return c.Host, int(c.Dst.Port())
}

func hostPort(s string, otherwise int) (string, int) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return strings.Trim(s, "[]"), otherwise
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return host, otherwise
	}
	return host, int(n)
}

func portOf(scheme string) int {
	if scheme == "https" {
		return 443
	}
	return 80
}

// addrPort reads an address as mitmproxy has it; zero if it is a name.
func addrPort(host string, port int) netip.AddrPort {
	a, err := netip.ParseAddr(host)
	if err != nil || port < 0 || port > 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a, uint16(port))
}
