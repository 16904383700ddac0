package view

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode"
	"unicode/utf8"
)

var mqttNames = []string{
	"", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK", "UNSUBSCRIBE", "UNSUBACK",
	"PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// An mqttPacket is what is left of one packet.
type mqttPacket struct {
	*printer
	b     []byte
	flags byte
	level byte // of the protocol: 4 is MQTT 3.1.1, 5 has properties
}

// mqtt prints control packets (MQTT 3.1.1 and 5, chapter 2 and 3). Which of the
// two it is, CONNECT says; without one it is taken for the older.
func mqtt(p *printer, body []byte) error {
	level := byte(4)
	if len(body) == 0 {
		return faultAt(0, "is empty")
	}
	for at := 0; at < len(body) && !p.stopped; {
		kind := body[at] >> 4
		size, n := mqttSize(body[at+1:])
		if kind == 0 || n == 0 {
			return faultAt(at, "no packet of MQTT")
		}
		if size > len(body)-at-1-n {
			return faultAt(at, "%s has %d bytes, of which %d came", mqttNames[kind], size, len(body)-at-1-n)
		}
		m := mqttPacket{printer: p, b: body[at+1+n : at+1+n+size], flags: body[at] & 15, level: level}
		p.put(Word, mqttNames[kind])
		p.put(Comment, " "+strconv.Itoa(size)+" bytes")
		p.end()
		p.indent++
		m.read(kind)
		if len(m.b) > 0 {
			p.inside(About{}, m.b)
		}
		p.indent--
		level = m.level
		at += 1 + n + size
	}
	return nil
}

// mqttSize reads a variable byte integer, of at most four bytes.
func mqttSize(b []byte) (size, n int) {
	for n < 4 && n < len(b) {
		size |= int(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1]&0x80 == 0 {
			return size, n
		}
	}
	return 0, 0
}

// isMQTT reports whether body begins with a CONNECT, or is packets to its end of
// which one at least is hardly anything else: messages of WebSocket have one or some.
func isMQTT(body []byte) bool {
	if len(body) > 9 && body[0] == 0x10 && (bytes.HasPrefix(body[2:], []byte("\x00\x04MQTT")) || bytes.HasPrefix(body[3:], []byte("\x00\x04MQTT"))) {
		return true
	}
	sure := false
	for len(body) > 0 {
		kind, flags := body[0]>>4, body[0]&15
		size, n := mqttSize(body[1:])
		if kind == 0 || n == 0 || size > len(body)-1-n {
			return false
		}
		packet := body[1+n : 1+n+size]
		switch mqttNames[kind] {
		case "PUBLISH":
			if flags&6 == 6 || !hasTopic(packet) {
				return false
			}
			sure = true
		case "SUBSCRIBE", "UNSUBSCRIBE":
			if flags != 2 || len(packet) < 2 || !hasTopic(packet[2:]) {
				return false
			}
			sure = true
		case "PUBREL":
			if flags != 2 {
				return false
			}
		default:
			if flags != 0 {
				return false
			}
		}
		body = body[1+n+size:]
	}
	return sure
}

// hasTopic reports whether b begins with a topic that a person has chosen.
func hasTopic(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b))
	if n == 0 || n > len(b)-2 {
		return false
	}
	topic := b[2 : 2+n]
	return utf8.Valid(topic) && bytes.IndexFunc(topic, unicode.IsControl) < 0
}

// read prints what it knows of a packet and leaves the rest.
func (m *mqttPacket) read(kind byte) {
	switch mqttNames[kind] {
	case "CONNECT":
		m.connect()
	case "PUBLISH":
		m.str("topic")
		qos := m.flags >> 1 & 3
		m.pair("QoS", Number, strconv.Itoa(int(qos)))
		if m.flags&1 != 0 {
			m.pair("retain", Word, "true")
		}
		if qos > 0 {
			m.number("packet")
		}
		m.properties()
	case "SUBSCRIBE", "UNSUBSCRIBE":
		m.number("packet")
		m.properties()
		for len(m.b) > 0 && m.str("topic") {
			if mqttNames[kind] == "SUBSCRIBE" && len(m.b) > 0 {
				m.pair("QoS", Number, strconv.Itoa(int(m.b[0]&3)))
				m.b = m.b[1:]
			}
		}
	case "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBACK", "UNSUBACK":
		m.number("packet")
	}
}

func (m *mqttPacket) connect() {
	if !m.str("protocol") || len(m.b) < 4 {
		return
	}
	flags := m.b[1]
	m.level = m.b[0]
	m.pair("level", Number, strconv.Itoa(int(m.level)))
	m.b = m.b[2:]
	m.number("keep alive")
	m.properties()
	m.str("client")
	if flags&0x04 != 0 {
		m.properties()
		m.str("will topic")
		m.str("will")
	}
	if flags&0x80 != 0 {
		m.str("user")
	}
	if flags&0x40 != 0 {
		m.str("password")
	}
}

// str prints a string with its length before it, if there is one.
func (m *mqttPacket) str(name string) bool {
	if len(m.b) < 2 {
		return false
	}
	n := int(binary.BigEndian.Uint16(m.b))
	if n > len(m.b)-2 {
		return false
	}
	m.pair(name, String, strconv.Quote(string(m.b[2:2+n])))
	m.b = m.b[2+n:]
	return true
}

func (m *mqttPacket) number(name string) {
	if len(m.b) >= 2 {
		m.pair(name, Number, strconv.Itoa(int(binary.BigEndian.Uint16(m.b))))
		m.b = m.b[2:]
	}
}

// properties prints those of MQTT 5 as digits.
func (m *mqttPacket) properties() {
	if m.level < 5 {
		return
	}
	if size, n := mqttSize(m.b); n > 0 && size <= len(m.b)-n {
		if size > 0 {
			m.pair("properties", String, hexBytes(m.b[n:n+size]))
		}
		m.b = m.b[n+size:]
	}
}
