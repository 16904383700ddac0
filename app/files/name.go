package files

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// A Name is the name of a file, or, with the directives of strftime, of a file for each
// time that it is another.
type Name struct {
	pattern string
	Append  bool // what it holds is kept
}

// directives are those of strftime that a name may have, as layouts of package time; the
// empty ones are made otherwise.
var directives = map[byte]string{
	'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'e': "_2", 'j': "002", 'H': "15", 'I': "03", 'M': "04", 'S': "05", 'p': "PM",
	'F': "2006-01-02", 'T': "15:04:05", 'R': "15:04", 'D': "01-02-06", 'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan",
	'Z': "MST", 'z': "-0700", 's': "", 'V': "", 'G': "", 'u': "", 'w': "", '%': "",
}

// ParseName reads a name as mitmproxy's --save-stream-file has it: + before it keeps what
// the file holds.
func ParseName(s string) (Name, error) {
	n := Name{pattern: strings.TrimPrefix(s, "+"), Append: strings.HasPrefix(s, "+")}
	if n.pattern == "" {
		return n, fmt.Errorf("%q: the name of a file is missing", s)
	}
	for i := 0; i < len(n.pattern); i++ {
		if n.pattern[i] != '%' {
			continue
		}
		i++
		if i == len(n.pattern) {
			return n, fmt.Errorf("%q: it ends in %%; write %%%% for a percent sign", s)
		}
		if _, ok := directives[n.pattern[i]]; !ok {
			return n, fmt.Errorf("%q: %%%c is not known; it may have %%Y, %%m, %%d, %%H, %%M, %%S and others of strftime, and %%%% for a percent sign", s, n.pattern[i])
		}
	}
	return n, nil
}

// Rotates reports whether it is another name at another time.
func (n Name) Rotates() bool {
	return strings.Contains(strings.ReplaceAll(n.pattern, "%%", ""), "%")
}

// At returns the name at t.
func (n Name) At(t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(n.pattern); i++ {
		if n.pattern[i] != '%' || i+1 == len(n.pattern) {
			b.WriteByte(n.pattern[i])
			continue
		}
		i++
		b.WriteString(directive(n.pattern[i], t))
	}
	return b.String()
}

func directive(c byte, t time.Time) string {
	switch c {
	case '%':
		return "%"
	case 's':
		return fmt.Sprint(t.Unix())
	case 'u':
		return fmt.Sprint((int(t.Weekday())+6)%7 + 1)
	case 'w':
		return fmt.Sprint(int(t.Weekday()))
	}
	year, week := t.ISOWeek()
	switch c {
	case 'G':
		return fmt.Sprint(year)
	case 'V':
		return fmt.Sprintf("%02d", week)
	}
	return t.Format(directives[c])
}

// Dir returns the directory that all its files are in or below.
func (n Name) Dir() string {
	fixed, _, rotates := strings.Cut(strings.ReplaceAll(n.pattern, "%%", "\x00"), "%")
	fixed = strings.ReplaceAll(fixed, "\x00", "%")
	if !rotates {
		return filepath.Dir(fixed)
	}
	return filepath.Dir(fixed + "x")
}

// formats are what the ends of names promise.
var formats = map[string]string{
	".mitm": "mitm", ".mitmproxy": "mitm", ".flow": "mitm", ".flows": "mitm", ".har": "har", ".zhar": "har", ".pcapng": "pcapng", ".pcap": "pcapng",
	".json": "json", ".ndjson": "json", ".jsonl": "json",
}

// FormatOf returns the format that the end of a name promises, mitm, har, pcapng or json,
// and "" where it promises none. One that says how the file is compressed may stand behind it.
func FormatOf(name string) string {
	return formats[strings.ToLower(filepath.Ext(plainName(name)))]
}
