package view

import (
	"bytes"
)

// engineNames and socketNames are the packets of Engine.IO 4 and Socket.IO 5.
var (
	engineNames = []string{"open", "close", "ping", "pong", "message", "upgrade", "noop"}
	socketNames = []string{"connect", "disconnect", "event", "ack", "error", "binary event", "binary ack"}
)

const separator = "\x1e" // between the packets of one body (Engine.IO 4, payload)

// socketIO prints packets of Engine.IO, and what they carry of Socket.IO.
func socketIO(p *printer, body []byte) error {
	at := 0
	for packet := range bytes.SplitSeq(body, []byte(separator)) {
		if len(packet) == 0 || packet[0] < '0' || packet[0] > '6' {
			return faultAt(at, "no packet of Engine.IO")
		}
		p.put(Word, engineNames[packet[0]-'0'])
		if rest := packet[1:]; packet[0] == '4' {
			p.packet(rest)
		} else {
			p.carried(rest)
		}
		if p.flush(); p.stopped {
			return nil
		}
		at += len(packet) + len(separator)
	}
	return nil
}

// packet prints one of Socket.IO: type, attachments, namespace, number, data.
func (p *printer) packet(b []byte) {
	if len(b) == 0 || b[0] < '0' || b[0] > '6' {
		p.carried(b)
		return
	}
	p.put(Plain, ", ")
	p.put(Word, socketNames[b[0]-'0'])
	kind := b[0]
	b = b[1:]
	if kind == '5' || kind == '6' {
		if n := numeral(b); n > 0 && n < len(b) && b[n] == '-' {
			p.put(Comment, " with "+string(b[:n])+" attachments")
			b = b[n+1:]
		}
	}
	if len(b) > 0 && b[0] == '/' {
		space, rest, _ := bytes.Cut(b, []byte(","))
		p.put(Key, " in "+oneLine(space))
		b = rest
	}
	if n := numeral(b); n > 0 {
		p.put(Number, " #"+string(b[:n]))
		b = b[n:]
	}
	p.carried(b)
}

func (p *printer) carried(b []byte) {
	if len(b) == 0 {
		return
	}
	p.flush()
	p.inside(About{Cut: p.about.Cut}, b)
}

func numeral(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}

// isSocketIO reports whether body begins as only packets of Socket.IO do.
func isSocketIO(body []byte) bool {
	for _, s := range []string{`42["`, `0{"sid"`, "40{\"sid\"", "42/"} {
		if bytes.HasPrefix(body, []byte(s)) {
			return true
		}
	}
	return false
}
