package command

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"transom/flow"
)

// forbidden are the fields that fetch takes from nobody.
var forbidden = map[string]bool{
	"accept-charset": true, "accept-encoding": true, "connection": true, "content-length": true, "expect": true, "host": true, "keep-alive": true,
	"te": true, "trailer": true, "transfer-encoding": true, "upgrade": true, "via": true,
}

// fetch says a request in JavaScript.
func fetch(r *request) string {
	var b strings.Builder
	u := r.url()
	if !r.plain() {
		r.note("fetch may write the target in another way")
	}
	switch upper := strings.ToUpper(r.Method); upper {
	case "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT":
		if upper != r.Method {
			r.note("fetch writes the method in capitals")
		}
	}
	r.twice()
	fmt.Fprintf(&b, "await fetch(%s, {\n  method: %s,\n  headers: [\n", script(u), script(r.Method))
	for i := range r.header {
		if forbidden[strings.ToLower(r.header[i].Name)] {
			r.note("left out: the field %s, which fetch sets itself", r.header[i].Name)
			continue
		}
		if control(r.header[i].Value) {
			r.note("left out: the field %s, which has %q", r.header[i].Name, r.header[i].Value)
			continue
		}
		fmt.Fprintf(&b, "    [%s, %s],\n", script(r.header[i].Name), latin1(r.header[i].Value))
	}
	b.WriteString("  ],\n") // No name is given to anything, so that several can stand in a file.
	switch {
	case len(r.body) == 0:
	case r.Method == "GET" || r.Method == "HEAD":
		r.note("left out: the body, which fetch sends with no %s", r.Method)
	case utf8.Valid(r.body) && r.has("Content-Type"):
		fmt.Fprintf(&b, "  body: %s,\n", script(string(r.body)))
	default: // bytes have no type that would be added
		fmt.Fprintf(&b, "  body: Uint8Array.from(atob(%q), (c) => c.charCodeAt(0)),\n", base64.StdEncoding.EncodeToString(r.body))
	}
	b.WriteString("  redirect: \"manual\",\n}).then(async (response) => console.log(response.status, await response.text()));\n")
	return r.noted("//") + b.String()
}

// script is a string of JavaScript, safe within a page, too. s is UTF-8.
func script(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteRune('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '<' || c > 0x7e && !visible(string(c), "") || c < ' ' || c == 0x7f:
			if c > 0xffff {
				fmt.Fprintf(&b, `\u{%x}`, c)
			} else {
				fmt.Fprintf(&b, `\u%04x`, c)
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String() + `"`
}

// latin1 is a string of JavaScript or Python that has a character for each byte.
func latin1(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f || c == '<':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// python says a request for the requests library.
func python(r *request) string {
	var b strings.Builder
	u := r.url()
	if !r.normal() {
		r.note("requests may write the target in another way")
	}
	if strings.ToUpper(r.Method) != r.Method {
		r.note("requests writes the method in capitals")
	}
	r.twice()
	fmt.Fprintf(&b, "import requests\n\nresponse = requests.request(\n    %s,\n    %s,\n    headers={\n", latin1(r.Method), latin1(u))
	done := map[string]bool{}
	for i := range r.header {
		name := strings.ToLower(r.header[i].Name)
		if done[name] || name == "transfer-encoding" {
			continue
		}
		done[name] = true
		fmt.Fprintf(&b, "        %s: %s,\n", latin1(r.header[i].Name), latin1(r.together(i)))
	}
	for _, name := range [...]string{"Accept", "Connection"} {
		if !r.has(name) {
			fmt.Fprintf(&b, "        %q: None,\n", name)
		}
	}
	for _, name := range [...]string{"User-Agent", "Accept-Encoding"} {
		if !r.has(name) { // None alone has what is below requests add its own
			fmt.Fprintf(&b, "        %q: requests.packages.urllib3.util.SKIP_HEADER,\n", name)
		}
	}
	b.WriteString("    },\n")
	switch {
	case r.chunked():
		fmt.Fprintf(&b, "    data=iter([b%s]),  # in chunks\n", latin1(string(r.body)))
	case len(r.body) > 0:
		fmt.Fprintf(&b, "    data=b%s,\n", latin1(string(r.body)))
	}
	b.WriteString("    auth=lambda request: request,  # or .netrc is asked for one\n    allow_redirects=False,\n)\nprint(response.status_code, response.reason)\nprint(response.text)\n")
	return r.noted("#") + b.String()
}

// together is the value of all fields that are called as the one at i, for programs
// that take each name once (RFC 9110, section 5.3; for cookies RFC 9113, section
// 8.2.3).
func (r *request) together(i int) string {
	name, value := r.header[i].Name, r.header[i].Value
	separator := ", "
	if flow.EqualFold(name, "Cookie") {
		separator = "; "
	}
	for _, f := range r.header[i+1:] {
		if flow.EqualFold(f.Name, name) {
			value += separator + f.Value
		}
	}
	return value
}

// golang says a request as a program in Go.
func golang(r *request) string {
	var b strings.Builder
	reader := "nil"
	if len(r.body) > 0 {
		reader = "strings.NewReader(" + strconv.QuoteToASCII(string(r.body)) + ")"
		if strings.Contains(reader, "\ufffd") || !utf8.Valid(r.body) {
			reader = "strings.NewReader(" + latin1(string(r.body)) + ")"
		}
	}
	address := r.base + r.target
	opaque := !r.plain()
	if opaque {
		if strings.HasPrefix(r.target, "//") {
			r.note("net/http sends the target as a whole URL")
		}
		address = r.base + "/"
	}
	fmt.Fprintf(&b, "package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"log\"\n\t\"net/http\"\n")
	if reader != "nil" {
		b.WriteString("\t\"strings\"\n")
	}
	fmt.Fprintf(&b, ")\n\nfunc main() {\n\treq, err := http.NewRequest(%s, %s, %s)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n", latin1(r.Method), latin1(address), reader)
	if opaque {
		fmt.Fprintf(&b, "\treq.URL.Opaque = %s // as it was sent\n", latin1(r.target))
	}
	r.goFields(&b)
	b.WriteString("\tclient := &http.Client{\n\t\tTransport:     &http.Transport{DisableCompression: true, ForceAttemptHTTP2: " + strconv.FormatBool(r.Proto == flow.HTTP2) + "},\n")
	b.WriteString("\t\tCheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },\n\t}\n")
	b.WriteString("\tresp, err := client.Do(req)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tdefer resp.Body.Close()\n")
	b.WriteString("\tbody, err := io.ReadAll(resp.Body)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tfmt.Println(resp.Status)\n\tfmt.Printf(\"%s\\n\", body)\n}\n")
	return r.noted("//") + b.String()
}

// goFields sets the fields, each by the name as it was sent.
func (r *request) goFields(b *strings.Builder) {
	done := map[string]bool{}
	for i := range r.header {
		name := r.header[i].Name
		switch {
		case done[name]:
			continue
		case flow.EqualFold(name, "Host"):
			fmt.Fprintf(b, "\treq.Host = %s\n", latin1(r.header[i].Value))
			continue
		case control(r.header[i].Value):
			r.note("left out: the field %s, which has %q", name, r.header[i].Value)
			continue
		case flow.EqualFold(name, "Transfer-Encoding"):
			b.WriteString("\treq.ContentLength = -1\n")
			continue
		}
		done[name] = true
		var values []string
		for _, f := range r.header[i:] {
			if f.Name == name && !control(f.Value) {
				values = append(values, latin1(f.Value))
			}
		}
		fmt.Fprintf(b, "\treq.Header[%s] = []string{%s}\n", latin1(name), strings.Join(values, ", "))
	}
	if !r.has("User-Agent") {
		b.WriteString("\treq.Header[\"User-Agent\"] = nil\n")
	}
}
