package nettest_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// exchange answers one request of HTTP/1, and reports whether there may be
// another.
func (s *seen) exchange(in *bufio.Reader) bool {
	for { // empty lines before a request mean nothing
		if b, err := in.Peek(2); err != nil || string(b) != "\r\n" {
			break
		}
		_, _ = in.Discard(2) // they are there
	}
	if _, err := in.Peek(1); err != nil {
		s.ended(err)
		return false
	}
	req, err := http.ReadRequest(in)
	if err != nil {
		s.ended(err)
		return false
	}
	what := s.name(req.URL.Path)
	a, ok := answers[what]
	if !ok {
		a = answer{status: "404 Not Found", part: -1}
	}
	if req.Header.Get("Expect") != "" && what != "refuse" {
		_, _ = io.WriteString(s.Conn, "HTTP/1.1 100 Go on\r\nX-Interim: 1\r\n\r\n") // a client that left is noticed below
	}
	switch what {
	case "early":
		_, err = req.Body.Read(make([]byte, 1))
	case "refuse":
	case "meet":
		s.o.meet()
	default:
		_, err = io.Copy(io.Discard, req.Body)
	}
	if err != nil && err != io.EOF {
		s.ended(err)
		return false
	}
	return s.answer(a, req)
}

// answer sends an answer in HTTP/1 and ends as it says.
func (s *seen) answer(a answer, req *http.Request) bool {
	_, _ = io.WriteString(s.Conn, a.http1(req.Method)) // a client that left is noticed below
	switch a.end {
	case finish, cut:
		s.fin(a.end == finish)
	case reset:
		s.rst()
	case stall:
		s.drain()
	case flood:
		s.flood(a.body)
	default:
		if req.Close { // the client said so, and is left to do it
			s.drain()
			return false
		}
		return true
	}
	return false
}

// http1 writes an answer as HTTP/1 does.
func (a answer) http1(method string) string {
	if a.status == "" {
		return ""
	}
	var b strings.Builder
	if a.interim != nil {
		fmt.Fprintf(&b, "HTTP/1.1 103 Early Hints\r\n%s\r\n", lines1(a.interim))
	}
	fmt.Fprintf(&b, "HTTP/1.1 %s\r\n%s", a.status, lines1(a.header))
	body := a.body
	switch {
	case a.end == flood:
		fmt.Fprintf(&b, "content-length: %d\r\n", int64(1)<<40)
	case a.framing == byLength:
		fmt.Fprintf(&b, "content-length:%d\r\n", len(a.body))
	case a.framing == byChunks:
		b.WriteString("Transfer-encoding: chunked\r\n")
		body = strings.Join(a.chunks, "")
		if a.trailer != nil {
			body += lines1(a.trailer) + "\r\n"
		}
	}
	if a.part >= 0 {
		body = body[:min(a.part, len(body))]
	}
	b.WriteString("\r\n")
	if method != http.MethodHead {
		b.WriteString(body)
	}
	return b.String()
}

func lines1(fields []pair) string {
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f.name + ": " + f.value + "\r\n")
	}
	return b.String()
}

// flood sends until the client has had enough.
func (s *seen) flood(what string) {
	var wg sync.WaitGroup
	wg.Go(s.drain)
	for {
		if _, err := io.WriteString(s.Conn, what); err != nil {
			wg.Wait()
			s.ended(err)
			return
		}
	}
}
