package ws

import (
	"strconv"
	"strings"

	"transom/flow"
)

// A deflation is what was agreed for the compressed messages of one direction
// (RFC 7692, section 7.1).
type deflation struct {
	on       bool
	takeover bool // a message may refer to those before it
	bits     int  // of the sender's window
}

// window is how far back a message may refer.
func (d *deflation) window() int { return 1 << d.bits }

// agreed reads what the server's response has agreed to. unknown names an
// extension that is not understood, "" if there is none: what such a one makes
// of payload can't be known.
func agreed(h flow.Header) (toServer, toClient deflation, unknown string) {
	for i := range h {
		if !flow.EqualFold(h[i].Name, "Sec-WebSocket-Extensions") {
			continue
		}
		for _, element := range split(h[i].Value, ',') {
			params := split(element, ';')
			name := strings.TrimSpace(params[0])
			switch {
			case name == "":
			case strings.EqualFold(name, "permessage-deflate") && !toServer.on && toServer.read(params[1:], "client") && toClient.read(params[1:], "server"):
			default:
				return deflation{}, deflation{}, name
			}
		}
	}
	return toServer, toClient, ""
}

// read takes the parameters that bind side. It reports false for those that
// RFC 7692 does not know.
func (d *deflation) read(params []string, side string) bool {
	*d = deflation{on: true, takeover: true, bits: 15}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(value), `"`)
		of, what, _ := strings.Cut(name, "_")
		if of != "client" && of != "server" {
			return false
		}
		bits := 15
		switch what {
		case "no_context_takeover":
			if of == side {
				d.takeover = false
			}
			continue
		case "max_window_bits":
			n, err := strconv.Atoi(value)
			if err != nil || n < 8 || n > 15 {
				return false
			}
			bits = n
		default:
			return false
		}
		if of == side {
			d.bits = bits
		}
	}
	return true
}

// split cuts a field's value at sep where it is not quoted.
func split(v string, sep byte) []string {
	var parts []string
	from, quoted := 0, false
	for i := 0; i < len(v); i++ {
		switch {
		case quoted && v[i] == '\\':
			i++
		case v[i] == '"':
			quoted = !quoted
		case v[i] == sep && !quoted:
			parts, from = append(parts, v[from:i]), i+1
		}
	}
	return append(parts, v[from:])
}
