package view

import (
	"bytes"
	"strings"
)

// sse prints a stream of events, each field on its line and JSON formatted
// (HTML, section 9.2).
func sse(p *printer, body []byte) error {
	var data []byte
	for line := range bytes.Lines(body) {
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0:
			eventData(p, data)
			data = data[:0]
			p.put(Plain, "")
			p.end()
		case string(name) == "data":
			data = append(append(data, value...), '\n')
		case len(name) == 0:
			p.put(Comment, untab(string(line)))
			p.end()
		default:
			p.pair(untab(string(name)), String, untab(string(value)))
		}
		if p.stopped {
			return nil
		}
	}
	eventData(p, data)
	return nil
}

func eventData(p *printer, data []byte) {
	switch data = bytes.TrimSuffix(data, []byte("\n")); {
	case len(data) == 0:
	case isJSON(data) || bytes.ContainsRune(data, '\n'):
		p.put(Key, "data")
		p.put(Plain, ":")
		p.end()
		p.inside(About{Cut: p.about.Cut}, data)
	default:
		p.pair("data", String, strings.ReplaceAll(string(data), "\t", tabs))
	}
}
