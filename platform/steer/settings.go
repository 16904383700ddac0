package steer

import (
	"fmt"
	"io/fs"
	"strings"
)

// A change is a setting of the kernel that we changed. Its text is what is kept
// in the kernel, and shown to a person: "net.ipv4.ip_forward = 1 (was 0)".
type change struct {
	key      string // below /proc/sys/net: "ipv4/conf/eth0.1/send_redirects"
	set, was string
}

// swap turns paths into names and back: as for sysctl, dots and slashes change
// places. Names of interfaces need not be text.
func swap(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch c {
		case '.':
			b[i] = '/'
		case '/':
			b[i] = '.'
		}
	}
	return string(b)
}

// String returns the change as parseChange reads it.
func (c change) String() string {
	return fmt.Sprintf("net.%s = %s (was %s)", swap(c.key), c.set, c.was)
}

// parseChange reads what String has written.
func parseChange(text string) (change, bool) {
	name, values, ok1 := strings.Cut(text, " = ")
	set, was, ok2 := strings.Cut(values, " (was ")
	was, ok3 := strings.CutSuffix(was, ")")
	name, ok4 := strings.CutPrefix(name, "net.")
	c := change{swap(name), set, was}
	family, _, _ := strings.Cut(c.key, "/")
	ok := ok1 && ok2 && ok3 && ok4 && fs.ValidPath(c.key) && (family == "ipv4" || family == "ipv6") &&
		isNumber(set) && isNumber(was)
	return c, ok
}

// isNumber reports whether s is a short decimal number, as all our settings are.
func isNumber(s string) bool {
	return s != "" && len(s) < 12 && strings.Trim(strings.TrimPrefix(s, "-"), "0123456789") == "" && s != "-"
}

// find returns the change of a key.
func find(list []change, key string) (change, bool) {
	for _, c := range list {
		if c.key == key {
			return c, true
		}
	}
	return change{}, false
}
