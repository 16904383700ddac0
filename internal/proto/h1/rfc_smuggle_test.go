package h1_test

import (
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// An rfcLenient is a reader of requests as they are found in the wild: each
// field is a liberty that some server takes. Whatever the codec lets through
// must be the same requests to all of them.
type rfcLenient struct {
	bareLF     bool // a line may end in LF
	bareCR     bool // a line may end in CR
	folds      bool // a line that begins with white space goes on
	trimsNames bool // white space around a name does not matter
	lengthWins bool // Content-Length beside Transfer-Encoding counts
	lastLength bool // the last Content-Length counts, not the first
	anyChunked bool // chunked anywhere in the coding, in any spelling
}

var rfcLenients = []rfcLenient{
	{},
	{bareLF: true},
	{bareCR: true, bareLF: true},
	{folds: true},
	{trimsNames: true},
	{lengthWins: true},
	{lastLength: true},
	{anyChunked: true},
	{bareLF: true, folds: true, trimsNames: true, lengthWins: true, lastLength: true, anyChunked: true},
}

// line cuts the first line off in.
func (q rfcLenient) line(in string) (line, rest string, ok bool) {
	for i := range len(in) {
		switch {
		case in[i] == '\n' && i > 0 && in[i-1] == '\r':
			return in[:i-1], in[i+1:], true
		case in[i] == '\n' && q.bareLF:
			return in[:i], in[i+1:], true
		case in[i] == '\r' && q.bareCR && i+1 < len(in):
			return in[:i], strings.TrimPrefix(in[i+1:], "\n"), true
		}
	}
	return "", in, false
}

// rfcSeveralLengths is the one thing that may be mended, not refused: the same
// length again (RFC 9110, section 8.6).
var rfcSeveralLengths = regexp.MustCompile(`(?is)\r\ncontent-length:.*\r\ncontent-length:|\r\ncontent-length:[^\r]*,`)

// An rfcRead is a request as an rfcLenient has read it.
type rfcRead struct {
	start, body string
}

// next reads the first request of in; ok is false if it is not complete.
func (q rfcLenient) next(in string) (req rfcRead, rest string, ok bool) {
	line, rest, ok := q.line(in)
	for ok && line == "" {
		line, rest, ok = q.line(rest)
	}
	req.start = line
	var length, coding string
	for ok {
		line, rest, ok = q.line(rest)
		if !ok || line == "" {
			break
		}
		if q.folds && strings.Trim(line[:1], " \t") == "" {
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if q.trimsNames {
			name = strings.TrimSpace(name)
		}
		value = strings.Trim(value, " \t\x0b\x0c\r")
		switch strings.ToLower(name) {
		case "content-length":
			if length == "" || q.lastLength {
				length = value
			}
		case "transfer-encoding":
			coding += "," + strings.ToLower(value)
		}
	}
	if !ok {
		return req, in, false
	}
	final := coding[strings.LastIndexByte(coding, ',')+1:]
	chunked := strings.Trim(final, " \t") == "chunked" || q.anyChunked && strings.Contains(coding, "chunked")
	switch {
	case chunked && !(q.lengthWins && length != ""):
		req.body, rest, ok = q.chunks(rest)
	case length != "":
		n, err := strconv.Atoi(length)
		if err != nil || n < 0 || n > len(rest) {
			return req, in, false
		}
		req.body, rest = rest[:n], rest[n:]
	}
	return req, rest, ok
}

func (q rfcLenient) chunks(in string) (body, rest string, ok bool) {
	for {
		line, after, ok := q.line(in)
		if !ok {
			return body, in, false
		}
		size, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.Trim(size, " \t"), 16, 31)
		if err != nil {
			return body, in, false
		}
		if n == 0 {
			for ok {
				if line, after, ok = q.line(after); line == "" {
					break
				}
			}
			return body, after, ok
		}
		if uint64(len(after)) < n {
			return body, in, false
		}
		body += after[:n]
		if _, in, ok = q.line(after[n:]); !ok {
			return body, in, false
		}
	}
}

// all reads all complete requests of in.
func (q rfcLenient) all(in string) (reqs []rfcRead, rest string) {
	for {
		req, left, ok := q.next(in)
		if !ok {
			return reqs, in
		}
		reqs, in = append(reqs, req), left
	}
}

// FuzzRelayNeverDesyncs sends arbitrary bytes through the relay to an origin
// that answers each request it has read. The origin must receive a prefix of
// what the client sent, and every reader, lenient or not, must find the same
// requests there, which are those that the handler was given.
func FuzzRelayNeverDesyncs(f *testing.F) {
	for _, s := range rfcSeeds {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s+s), uint8(1))
	}
	for _, c := range rfcBadHeads {
		f.Add([]byte(c.raw+"0\r\n\r\n"+rfcGet), uint8(0))
	}
	for _, c := range rfcEither {
		f.Add([]byte(c.raw+"hello"+rfcGet), uint8(0))
	}
	for _, c := range rfcBadBodies {
		f.Add([]byte("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"+c.good+c.bad+rfcGet), uint8(0))
	}
	f.Fuzz(func(t *testing.T, in []byte, segment uint8) {
		synctest.Test(t, func(t *testing.T) { rfcCheckSync(t, in, int(segment)) })
	})
}

func rfcCheckSync(t *testing.T, in []byte, segment int) {
	r := newRFCRelay(t, rfcSetup{segment: segment})
	defer r.finish()
	go func() {
		_, _ = r.client.Write(in)
		_ = r.client.CloseWrite()
	}()
	answered := 0
	for {
		got, _ := r.atOrigin.settled()
		reqs, _ := rfcLenient{}.all(got)
		if len(reqs) == answered || r.over() {
			break
		}
		answered++
		r.answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	}
	got, _ := r.atOrigin.settled()
	if !bytes.HasPrefix(in, []byte(got)) && !rfcSeveralLengths.Match(in) {
		t.Fatalf("the origin received %q of %q", got, in)
	}
	strict, rest := rfcLenient{}.all(got)
	if n := len(r.seen); len(strict) != n && (len(strict) != n-1 || rest == "") {
		t.Errorf("the handler saw %d requests, the origin %d and %q", n, len(strict), rest)
	}
	for i, req := range strict {
		if i < len(r.seen) && !strings.HasPrefix(req.start, r.seen[i].Method+" "+r.seen[i].Target+" ") {
			t.Errorf("request %d is %q, the handler saw %s %s", i, req.start, r.seen[i].Method, r.seen[i].Target)
		}
	}
	for _, q := range rfcLenients {
		reqs, left := q.all(got)
		same := len(reqs) == len(strict) && len(left) == len(rest)
		for i := 0; same && i < len(reqs); i++ {
			same = reqs[i].start == strict[i].start && reqs[i].body == strict[i].body
		}
		if !same {
			t.Errorf("to %+v this is %q and %q, to a strict reader %q and %q", q, reqs, left, strict, rest)
		}
	}
}

// FuzzRelayResponses has an origin that answers with arbitrary bytes: the
// client receives a prefix of them, or a refusal.
func FuzzRelayResponses(f *testing.F) {
	for _, s := range []string{rfcOK, rfcOK + rfcOK, "HTTP/1.1 100 Continue\r\n\r\n" + rfcOK, "HTTP/1.1 200 OK\r\n\r\nx", "HTTP/1.1 101 X\r\n\r\nx", "HTTP/1.0 200 \r\nContent-Length:02\r\nContent-Length:02\r\n\r\nok", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n" + rfcOK} {
		f.Add("GET", []byte(s), uint8(0), true)
		f.Add("HEAD", []byte(s), uint8(1), false)
	}
	for _, c := range rfcBadResponses {
		f.Add("GET", []byte(c[1]), uint8(2), true)
	}
	f.Fuzz(func(t *testing.T, method string, said []byte, segment uint8, fin bool) {
		if method != "HEAD" && method != "CONNECT" {
			method = "GET"
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, rfcSetup{segment: int(segment)})
			defer r.finish()
			go io.WriteString(r.client, method+" http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"+rfcGet)
			synctest.Wait()
			go func() {
				_, _ = r.origin.Write(said)
				if fin {
					_ = r.origin.CloseWrite()
				}
			}()
			got, _ := r.atClient.settled()
			if !bytes.HasPrefix(said, []byte(got)) && len(r.refused) == 0 && !rfcSeveralLengths.Match(said) {
				t.Errorf("the client received %q of %q", got, said)
			}
		})
	})
}
