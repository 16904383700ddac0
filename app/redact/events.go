package redact

import (
	"bytes"
	"slices"
)

// data reads the lines of an event that have its data, each behind a line feed.
func data(src []byte, at int) (int, []byte, bool) {
	line, end := eventLine(src, at)
	if at > 0 && src[at-1] != '\n' && src[at-1] != '\r' { // behind the name
		if line > at {
			return line, src[at:line], false
		}
		return end, nil, true
	}
	n := dataPrefix(src[at:line])
	if n == 0 {
		return end, nil, true
	}
	return at + n, []byte("\n"), true
}

// eventLine says where a line ends, and where the next one begins.
func eventLine(src []byte, at int) (line, next int) {
	n := bytes.IndexAny(src[at:], "\r\n")
	if n < 0 {
		return len(src), len(src)
	}
	line, next = at+n, at+n+1
	if src[line] == '\r' && next < len(src) && src[next] == '\n' {
		next++
	}
	return line, next
}

// dataPrefix is how long the name of a field of data is, with what belongs to it.
func dataPrefix(line []byte) int {
	const name = "data:"
	if !bytes.HasPrefix(line, []byte(name)) {
		return 0
	}
	if len(line) > len(name) && line[len(name)] == ' ' {
		return len(name) + 1
	}
	return len(name)
}

// inEvents finds secrets in events (text/event-stream of HTML), whose data may be in
// several lines, with others between them.
func (r *Rules) inEvents(src []byte) ([]cut, error) {
	var cuts []cut
	for at := len(mark(src)); at < len(src); {
		end := at
		for end < len(src) {
			line, next := eventLine(src, end)
			if dataPrefix(src[end:line]) == 0 {
				found, err := r.inText(src[end:line], 0)
				if err != nil {
					return nil, err
				}
				cuts = append(cuts, moved(found, end)...)
			}
			if line == end { // the event ends
				end = next
				break
			}
			end = next
		}
		event := src[at:end]
		at = end
		if bytes.IndexByte(event, '{') < 0 {
			continue // no copy
		}
		found, err := r.inText(meaning(event, data), 0)
		if err != nil {
			return nil, err
		}
		cuts = append(cuts, moved(written(event, data, found, func(s string) string { return s }), end-len(event))...)
	}
	slices.SortFunc(cuts, func(a, b cut) int { return a.from - b.from })
	return cuts, nil
}
