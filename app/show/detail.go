package show

import (
	"cmp"
	"crypto/tls"
	"strconv"
	"strings"

	"transom/app/follow"
	"transom/flow"
)

// details prints what follows the line. What went to the server stands after
// ">", what came back after "<".
func (p *printer) details(f *flow.Flow) {
	if f.Conn != nil {
		p.device(f.Conn.Device)
		p.process(f.Conn.Process)
		p.legs(f.Conn)
	}
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		p.exchange(d)
	case *flow.DNS:
		p.dns(d)
	case *flow.Messages:
		p.notes(d.Notes)
	case *flow.Connection:
		p.ending(d)
	}
}

// legs prints what was agreed on each TLS leg.
func (p *printer) legs(c *flow.Conn) {
	if t := c.TLS(); t != nil {
		p.leg("client", t)
	}
	if c.Server == nil {
		return
	}
	if c.Server.TLS != nil {
		p.leg("server", c.Server.TLS)
	}
	if c.Server.Err != "" {
		p.info("server: " + c.Server.Err)
	}
	if differs := c.Differs(nil); len(differs) > 0 {
		p.info("the legs differ: " + strings.Join(differs, ", "))
	}
	client, server := c.Fingerprints()
	if client != "" {
		p.info("client: HTTP/2 began as " + client)
	}
	if server != "" && server != client {
		p.info("server: HTTP/2 began as " + server)
	}
}

// process prints which program of this host the client is.
func (p *printer) process(of *flow.Process) {
	if of == nil {
		return
	}
	s := "client: a program"
	if of.PID != 0 {
		s = "client: " + of.Name + " ("
		if of.Path != "" {
			s += of.Path + ", "
		}
		s += "pid " + strconv.Itoa(of.PID) + ")"
	}
	s += " of " + cmp.Or(of.User, "uid "+strconv.Itoa(of.UID))
	switch {
	case of.Container != "":
		s += ", in container " + of.Container
	case of.Unit != "":
		s += ", in " + of.Unit
	case of.Cgroup != "" && of.Cgroup != "/":
		s += ", in cgroup " + of.Cgroup
	}
	p.info(s)
}

// device prints who the client is on the network.
func (p *printer) device(d *flow.Device) {
	switch {
	case d == nil:
	case d.Name == "":
		p.info("client: " + d.MAC)
	case d.MAC == "":
		p.info("client: " + d.Name + " (by " + d.NamedBy + ")")
	default:
		p.info("client: " + d.Name + " (by " + d.NamedBy + "), " + d.MAC)
	}
}

func (p *printer) leg(side string, t *flow.TLS) {
	s := side + ": TLS offered"
	if t.Version != 0 {
		s = side + ": " + tls.VersionName(t.Version)
	}
	if t.Protocol != "" {
		s += ", " + t.Protocol
	}
	if t.ServerName != "" {
		s += ", for " + t.ServerName
	}
	if t.Resumed {
		s += ", resumed"
	}
	if t.JA3 != "" {
		s += ", JA3 " + t.JA3
	}
	if t.JA4 != "" {
		s += ", JA4 " + t.JA4
	}
	if t.VerifyErr != "" {
		s += ", not verified: " + t.VerifyErr
	}
	p.info(s)
}

// exchange prints heads and, from detail 3 on, bodies.
func (p *printer) exchange(h *flow.HTTP) {
	if h.OriginalRequest != nil {
		p.request("> was: ", h.OriginalRequest)
	}
	if h.OriginalRequestBody != nil {
		p.body("> was: ", h, follow.OriginalRequest, *h.OriginalRequestBody)
	}
	p.request("> ", h.Request)
	p.body("> ", h, follow.Request, h.RequestBody)
	p.trailer("> ", h.RequestTrailer)
	for i := range h.Interim {
		p.responseHead("< ", &h.Interim[i])
	}
	if h.OriginalResponse != nil {
		p.responseHead("< was: ", h.OriginalResponse)
	}
	if h.OriginalResponseBody != nil {
		p.body("< was: ", h, follow.OriginalResponse, *h.OriginalResponseBody)
	}
	p.responseHead("< ", h.Response)
	p.body("< ", h, follow.Response, h.ResponseBody)
	p.trailer("< ", h.ResponseTrailer)
	p.notes(h.Notes)
}

func (p *printer) notes(notes []string) {
	for _, n := range notes {
		p.info("note: " + n)
	}
}

func (p *printer) request(prefix string, r *flow.RequestHead) {
	switch {
	case r == nil:
	case r.Method == "" && len(r.Raw) > 0:
		for line := range strings.SplitSeq(strings.TrimRight(string(r.Raw), "\r\n"), "\n") {
			p.row(prefix, strings.TrimSuffix(line, "\r"))
		}
	default:
		p.row(prefix, r.Method+" "+r.Target+" "+r.Proto.String())
		p.fields(prefix, r.Header)
	}
}

func (p *printer) responseHead(prefix string, r *flow.ResponseHead) {
	if r == nil {
		return
	}
	p.row(prefix, strings.TrimRight(r.Proto.String()+" "+strconv.Itoa(r.Status)+" "+r.Reason, " "))
	p.fields(prefix, r.Header)
}

func (p *printer) trailer(prefix string, h flow.Header) { p.fields(prefix+"trailer: ", h) }

func (p *printer) fields(prefix string, h flow.Header) {
	for i := range h {
		p.row(prefix, h[i].Name+": "+h[i].Value)
	}
}

// ending prints how the sides of a connection ended.
func (p *printer) ending(c *flow.Connection) {
	var words []string
	for _, s := range []struct {
		name string
		end  flow.Close
	}{{"client", c.Client}, {"server", c.Server}} {
		if s.end != flow.NotClosed {
			words = append(words, s.name+" ended with "+s.end.String())
		}
	}
	if c.Flows > 0 {
		words = append(words, strconv.FormatInt(c.Flows, 10)+" flows inside")
	}
	if len(words) > 0 {
		p.info(strings.Join(words, ", "))
	}
}

// row prints one line of a head.
func (p *printer) row(prefix, text string) {
	p.b = append(p.b, "    "...)
	p.text(cyan, prefix, 0)
	p.text(plain, text, 0)
	p.b = append(p.b, '\n')
}

// info prints one line about the flow.
func (p *printer) info(text string) {
	p.b = append(p.b, "    "...)
	p.text(dim, text, 0)
	p.b = append(p.b, '\n')
}
