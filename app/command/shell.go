package command

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"transom/flow"
)

// maxArgument is how long an argument of a program may be. Linux takes 128 KiB.
const maxArgument = 100 << 10

// quote makes a word of sh of s, which holds no NUL and does not end in a newline. What
// can't be seen, or could be taken for something else, is written in octal.
func quote(s string) string {
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	if visible(s, "\n") {
		return single(s)
	}
	return `"$(` + printf([]byte(s)) + `)"`
}

// single puts s into quotes in which nothing means anything.
func single(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// special reports whether a character means, or might mean, something in a shell.
func special(c rune) bool {
	return c > 0x7f || !letter(byte(c)) && !strings.ContainsRune("-_./:,+@%", c)
}

// visible reports whether s is text without anything in it that is not seen, but for
// what also is allowed.
func visible(s, also string) bool {
	for i, c := range s {
		if c == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd") || !unicode.IsPrint(c) && !strings.ContainsRune(also, c) {
			return false
		}
	}
	return true
}

// printf is a command of sh that prints b, byte for byte.
func printf(b []byte) string {
	out := []byte("printf '")
	for i, c := range b {
		switch {
		case c == '%':
			out = append(out, "%%"...)
		case c == '\\':
			out = append(out, `\\`...)
		case c == '\n':
			out = append(out, `\n`...)
		case c < ' ', c >= 0x7f, c == '\'', c == '-' && i == 0:
			out = fmt.Appendf(out, `\%03o`, c)
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '\''))
}

// curl says a request as curl's arguments.
func curl(r *request) string {
	args := []string{"curl"}
	add := func(a ...string) {
		for i := range a {
			a[i] = quote(a[i])
		}
		args = append(args, strings.Join(a, " "))
	}
	for _, a := range r.version() {
		add(a)
	}
	pipe := ""
	switch {
	case r.Method == "HEAD":
		add("--head")
		if r.sized && len(r.body) > 0 {
			r.note("left out: the body, which curl sends with no HEAD")
		}
		r.sized = false
	case r.Method != "GET" || r.sized:
		add("-X", r.Method)
	}
	for i := range r.header {
		name, value := r.header[i].Name, r.header[i].Value
		switch {
		case value == "":
			add("-H", name+";")
		default:
			if flow.EqualFold(name, "Accept-Encoding") {
				add("--compressed") // undo what comes
			}
			add("-H", name+": "+value)
		}
	}
	for _, name := range r.uncurled() {
		add("-H", name+":")
	}
	if r.sized {
		if len(r.body) < maxArgument && visible(string(r.body), "\n\t") {
			args = append(args, "--data-raw "+single(string(r.body)))
		} else {
			pipe = printf(r.body) + " | "
			add("--data-binary", "@-")
		}
	}
	if r.o.Resolve {
		if to := r.resolve(); to != "" {
			add("--resolve", to)
		}
	}
	if r.plain() {
		add(r.base + r.target)
	} else {
		add("--request-target", r.target)
		add(r.base + "/")
	}
	return r.noted("#") + pipe + strings.Join(args, " \\\n  ") + "\n"
}

// version asks for the version of HTTP, where curl would take another one.
func (r *request) version() []string {
	secure := strings.HasPrefix(r.base, "https:")
	switch {
	case r.Proto == flow.HTTP10:
		return []string{"--http1.0"}
	case r.Proto == flow.HTTP11 && secure:
		return []string{"--http1.1"}
	case r.Proto == flow.HTTP2 && !secure:
		return []string{"--http2-prior-knowledge"}
	case r.Proto == flow.HTTP3:
		return []string{"--http3"}
	}
	return nil
}

// uncurled are the fields that curl would add.
func (r *request) uncurled() (names []string) {
	for _, n := range [...]string{"User-Agent", "Accept"} {
		if !r.has(n) {
			names = append(names, n)
		}
	}
	if r.sized && !r.has("Content-Type") {
		names = append(names, "Content-Type")
	}
	if _, named := r.Header.Lookup("Host"); !named && r.Proto == flow.HTTP10 {
		names = append(names, "Host")
	}
	if len(r.body) > 1024 && !r.has("Expect") {
		names = append(names, "Expect")
	}
	return names
}

// resolve says which address a name has.
func (r *request) resolve() string {
	_, host, _ := strings.Cut(r.base, "://")
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = host, map[bool]string{true: "443", false: "80"}[strings.HasPrefix(r.base, "https:")]
	}
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil || r.conn == nil || !r.conn.Dst.Addr().IsValid() {
		return ""
	}
	addr := r.conn.Dst.Addr().Unmap().WithZone("").String()
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	return name + ":" + port + ":" + addr
}

// httpie says a request as HTTPie's arguments.
func httpie(r *request) string {
	args := []string{"http", "--ignore-netrc"}
	if r.chunked() && len(r.body) > 0 {
		args = append(args, "--chunked")
	}
	pipe := ""
	switch text := string(r.body); {
	case len(r.body) == 0:
		args = append(args, "--ignore-stdin")
	case len(text) < maxArgument && visible(text, "\n") && !strings.HasSuffix(text, "\n"):
		args = append(args, "--ignore-stdin", "--raw="+quote(text))
	default:
		pipe = printf(r.body) + " | "
	}
	args = append(args, "-- "+quote(r.Method), quote(r.url())) // a field's name may begin with a dash
	if strings.ToUpper(r.Method) != r.Method {
		r.note("HTTPie writes the method in capitals")
	}
	if !r.normal() {
		r.note("HTTPie may write the target in another way")
		args[0] = "http --path-as-is"
	}
	for i := range r.header {
		switch name, value := r.header[i].Name, r.header[i].Value; {
		case flow.EqualFold(name, "Transfer-Encoding"):
			if len(r.body) == 0 {
				r.note("left out: the field %s, of a body that is empty", name)
			}
		case !utf8.ValidString(value):
			r.note("left out: the field %s, which is not UTF-8", name)
		case unescaped(value):
			r.note("left out: the field %s, which has %q: HTTPie would take that for an escape", name, value)
		case value == "":
			args = append(args, quote(name+";"))
		default:
			args = append(args, quote(name+": "+value)) // the blank, so that no = or @ stands behind the colon
		}
	}
	for _, name := range [...]string{"User-Agent", "Accept-Encoding"} {
		if !r.has(name) {
			r.note("the request had no %s; HTTPie sends one", name)
		}
	}
	for _, name := range [...]string{"User-Agent", "Accept", "Accept-Encoding", "Connection", "Content-Type"} {
		if !r.has(name) && (name != "Content-Type" || len(r.body) > 0) {
			args = append(args, name+":")
		}
	}
	return r.noted("#") + pipe + strings.Join(args, " \\\n  ") + "\n"
}

// unescaped reports whether a value has a backslash that HTTPie takes away, in which way
// ever it is written.
func unescaped(value string) bool {
	for _, pair := range [...]string{`\:`, `\;`, `\=`, `\@`} {
		if strings.Contains(value, pair) {
			return true
		}
	}
	return false
}
