package export

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"transom/flow"
)

// URL returns the address of a request as a person writes it: by the name the
// request gives, else by the one the client gave for the connection, else by
// the destination's address. For CONNECT it is the target, host:port. It is ""
// for a request that could not be parsed.
func URL(c *flow.Conn, r *flow.RequestHead) string {
	u := address(c, r)
	return strings.Join(u[:], "")
}

// ConversationURL returns the address of what an HTTP request began, "" if none
// did: that of the request, but that WebSocket has schemes of its own (RFC 6455,
// section 3).
func ConversationURL(c *flow.Conn, m *flow.Messages) string {
	u := URL(c, m.Request)
	if m.Kind != "websocket" {
		return u
	}
	if rest, ok := strings.CutPrefix(u, "http"); ok {
		return "ws" + rest
	}
	return u
}

// address returns the parts of the URL.
func address(c *flow.Conn, r *flow.RequestHead) [5]string {
	switch {
	case r == nil || r.Method == "" && r.Target == "":
		return [5]string{}
	case r.Method == "CONNECT" && r.Protocol == "" || absolute(r.Target):
		return [5]string{r.Target}
	}
	scheme := r.Scheme
	if scheme == "" {
		scheme = "http"
	}
	host := r.Authority
	if host == "" {
		host = named(c, scheme)
	}
	slash, target := "", r.Target
	switch {
	case target == "*": // RFC 9110, section 7.1
		target = ""
	case target != "" && target[0] != '/':
		slash = "/"
	}
	return [5]string{scheme, "://", host, slash, target}
}

// absolute reports whether target begins with a scheme (RFC 9112, section
// 3.2.2).
func absolute(target string) bool {
	i := strings.Index(target, "://")
	return i > 0 && !strings.ContainsAny(target[:i], "/?#")
}

// named returns the connection's name as an authority.
func named(c *flow.Conn, scheme string) string {
	if c == nil {
		return ""
	}
	host, port := c.Name(), c.Dst.Port()
	if port == 0 || scheme == "http" && port == 80 || scheme == "https" && port == 443 {
		if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
			return "[" + host + "]"
		}
		return host
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
