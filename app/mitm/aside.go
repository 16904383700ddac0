package mitm

import (
	"cmp"
	"strconv"
	"time"

	"transom/flow"
)

// What a file of mitmproxy's says, and flows have no noun for, is kept as it stands
// there, in flow.Flow.Foreign and flow.Conn.Foreign, and stands in the next file that
// is written: each a dict without its length. What we would write anyway is not in it,
// so of flows that no mitmproxy has had it is empty.

// aside are the values of theirs that ours, by the same names, don't have.
type aside struct {
	b       builder
	entries []entry
}

type entry struct {
	name string
	v    value
}

// keep puts a value aside.
func (a *aside) keep(name string, v value) {
	if v.tag != 0 {
		a.entries = append(a.entries, entry{name, v})
	}
}

// differs puts a value aside if it is not ours.
func (a *aside) differs(name string, theirs, ours value) {
	if !alike(theirs, ours) {
		a.keep(name, theirs)
	}
}

// text is of a value that would be this text.
func (a *aside) text(name string, theirs value, ours string) {
	a.differs(name, theirs, value{tag: tagText, b: []byte(ours)})
}

// time is of a value that would be this moment.
func (a *aside) time(name string, theirs value, ours time.Time) {
	if t := theirs.time(); theirs.tag != 0 && !t.Equal(ours) && t.Sub(ours).Abs() > rounding {
		a.keep(name, theirs)
	}
}

// within puts a dict aside, if there is something in it.
func (a *aside) within(name string, in *aside) {
	if b := in.bytes(); len(b) > 0 {
		a.keep(name, value{tag: tagDict, b: b})
	}
}

// bytes returns all that was put aside.
func (a *aside) bytes() []byte {
	a.b.reset()
	for i := len(a.entries) - 1; i >= 0; i-- {
		a.b.put(a.entries[i].v.tag, a.entries[i].v.b)
		a.b.key(a.entries[i].name)
	}
	return append([]byte(nil), a.b.out()...)
}

// rounding is what mitmproxy's numbers lose of a time.
const rounding = time.Microsecond

// alike reports whether two values say the same.
func alike(a, b value) bool {
	switch {
	case empty(a) || empty(b):
		return empty(a) && empty(b)
	case a.tag == tagFloat || b.tag == tagFloat:
		return a.time().Sub(b.time()).Abs() <= rounding
	}
	return string(a.b) == string(b.b)
}

// empty reports whether a value says nothing: mitmproxy has several ways to.
func empty(v value) bool {
	return v.null() || (v.tag == tagList || v.tag == tagDict || v.tag == tagText || v.tag == tagBytes) && len(v.b) == 0
}

// setAside is what was put aside before, read again; nothing if it can't be.
func setAside(s string) value {
	v := value{tag: tagDict, b: []byte(s)}
	if s == "" || check(v, 0, 0) != nil {
		return value{}
	}
	return v
}

// newer are names of an end that have changed, as they are since format 19.
var newer = map[string]string{"ip_address": "peername", "source_address": "sockname", "cipher_name": "cipher", "via2": "via"}

// current is the newest name of an entry, "" of what is no more.

func current(name string, format int, client bool) string {
	switch {
	case format >= 19:
		return name
	case name == "via", client && name == "tls_extensions":
		return "" // of long ago
	case client && name == "address":
		return "peername"
	}
	return cmp.Or(newer[name], name)
}

// connAside puts aside what is said of a connection's ends.
func connAside(c *flow.Conn, client, server value, format int) string {
	if format < Oldest {
		return ""
	}
	var b builder
	b.serverEnd(c, format)
	b.clientEnd(c, format)
	ours := value{tag: tagDict, b: b.out()}
	var all aside
	for _, of := range []struct {
		name   string
		theirs value
	}{{"client_conn", client}, {"server_conn", server}} {
		var end aside
		our := ours.get(of.name)
		for name, v := range of.theirs.entries() {
			if o := our.get(name); o.tag != 0 {
				if now := current(name, format, of.name == "client_conn"); now != "" {
					end.differs(now, v, o)
				}
			}
		}
		all.within(of.name, &end)
	}
	return string(all.bytes())
}

// patched returns the ends of a connection with what was put aside of them.
func patched(ends []byte, foreign string, format int) []byte {
	with := setAside(foreign)
	if with.tag == 0 {
		return ends
	}
	v := value{tag: tagDict, b: ends}
	var all aside
	for _, name := range []string{"client_conn", "server_conn"} {
		var end aside
		of := with.get(name)
		for key, is := range v.get(name).entries() {
			if was := of.get(current(key, format, name == "client_conn")); was.tag != 0 {
				is = was
			} else if set := of.get("timestamp_tls_setup"); key == "tls_established" && set.tag != 0 {
				is = value{tag: tagBool, b: strconv.AppendBool(nil, !set.null())}
			}
			end.keep(key, is)
		}
		all.within(name, &end)
	}
	return all.bytes()
}

// flowAside puts aside what is said of f as a whole.
func flowAside(v value, f *flow.Flow) string {
	var all aside
	peopleAside(&all, v)
	all.text("id", v.get("id"), f.ID.String())
	if b := v.get("backup"); b.tag == tagDict {
		var before aside
		peopleAside(&before, b)
		if h, ok := f.Detail.(*flow.HTTP); ok {
			before.http(b, f, original(h))
		}
		all.within("backup", &before)
	}
	if h, ok := f.Detail.(*flow.HTTP); ok {
		all.http(v, f, h)
	}
	return string(all.bytes())
}

// peopleAside puts aside what people and scripts have written to a flow.
func peopleAside(to *aside, v value) {
	for _, name := range []string{"comment", "marked", "is_replay", "intercepted"} {
		if in := v.get(name); in.tag != tagBool || in.bool() {
			to.differs(name, in, value{})
		}
	}
	var meta aside
	for name, in := range v.get("metadata").entries() {
		switch name {
		case metaFlow, metaConn:
		case "websocket", "websocket_handshake": // of old, and said otherwise since
		default:
			meta.keep(name, in)
		}
	}
	to.within("metadata", &meta)
}

// http puts aside what of an exchange would be written otherwise.
func (a *aside) http(v value, f *flow.Flow, h *flow.HTTP) {
	if h.Request == nil {
		return
	}
	var req, resp aside
	m, in := requestOf(f.Conn, h.Request), v.get("request")
	for _, of := range [...]struct{ name, ours string }{
		{"method", m.method}, {"scheme", m.scheme}, {"authority", m.authority}, {"path", m.path}, {"http_version", m.version}, {"host", valid(m.host)},
	} {
		req.text(of.name, in.get(of.name), of.ours)
	}
	req.text("port", in.get("port"), strconv.Itoa(m.port))
	req.time("timestamp_start", in.get("timestamp_start"), notZero(f.Start))
	req.time("timestamp_end", in.get("timestamp_end"), requestEnd(f, h, h.RequestBody))
	a.within("request", &req)
	if in := v.get("websocket"); in.tag == tagDict && in.get("close_code").int() == 1006 { // no frame says that
		var ws aside
		for _, name := range [...]string{"close_reason", "close_code", "closed_by_client"} {
			ws.keep(name, in.get(name))
		}
		a.within("websocket", &ws)
	}
	if in := v.get("response"); in.tag == tagDict && h.Response != nil {
		resp.text("http_version", in.get("http_version"), responseOf(h.Response).version)
		resp.time("timestamp_end", in.get("timestamp_end"), f.End)
		a.within("response", &resp)
	}
}
