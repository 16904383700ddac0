package h1_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"transom/flow"
	"transom/internal/proto/h1"
)

// An rfcReason is why one of the two, net/http or we, may refuse a head that
// the other accepts.
type rfcReason struct {
	why string
	is  *regexp.Regexp // of the head as sent
}

func reason(why, is string) rfcReason { return rfcReason{why, regexp.MustCompile(`(?s)` + is)} }

// rfcWeRefuse are the heads that net/http reads and a proxy must not, since the
// next reader may read something else.
var rfcWeRefuse = []rfcReason{
	reason("bare LF", `(^|[^\r])\n`),
	reason("bare CR", `\r([^\n]|$)`),
	reason("folded line", `\r\n[ \t]`),
	reason("control character", `[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]`),
	reason("tab in the start line", `^[^\r\n]*\t`),
	reason("name that is no token", `\r\n[^\r\n:]*[^\r\n:!#$%&'*+\-.^_\x60|~0-9A-Za-z][^\r\n:]*:`),
	reason("name of nothing", `\r\n:`),
	reason("length beside a coding", `(?i)\r\ntransfer-encoding:.*\r\ncontent-length:|\r\ncontent-length:.*\r\ntransfer-encoding:`),
	reason("several lengths", `(?i)\r\ncontent-length:.*\r\ncontent-length:`),
	reason("length that is no number", `(?i)\r\ncontent-length:[ \t]*(\r|[^\r\n]*[^0-9 \t\r\n])`),
	reason("several codings", `(?i)\r\ntransfer-encoding:.*\r\ntransfer-encoding:`),
	reason("coding that is not chunked", `(?i)\r\ntransfer-encoding:[ \t]*([^c \t]|c[^h]|chunked[^\r\n])`),
	reason("coding in HTTP/1.0", `(?i)^[^\r\n]*HTTP/1\.0\r.*\r\ntransfer-encoding:`),
	reason("several Hosts", `(?i)\r\nhost:.*\r\nhost:`),
	reason("Host that is none", `(?i)\r\nhost:[ \t]*[^\r\n]*[^\r\n0-9A-Za-z.:\-\[\]]`),
	reason("Host with an odd port or brackets", `(?i)\r\nhost:[ \t]*([^\r\n]*[\[\]]|[^\r\n]*:)`),
	reason("version that is neither 1.0 nor 1.1", `^[^\r\n]*HTTP/(\d\.[2-9]|[02-9]\.\d)`),
	reason("target in no form", `^[^ ]* [^/*]`),
	reason("* for something else than OPTIONS", `^([^O]|O[^P])[^ ]* \*`),
	reason("* with more", `^[^ ]* \*[^ ]`),
	reason("fragment", `^[^\r\n]*#`),
	reason("CONNECT to no authority", `^CONNECT `),
	reason("more fields than we take", `(\r\n[^\r\n]+){257}`),
	reason("status below 100 or of three odd digits", `^HTTP/1\.[01] [^1-9]`),
	reason("status without a space after it", `^HTTP/1\.[01] \d\d\d\r`),
}

// rfcTheyRefuse are the heads that pass because they are harmless.
var rfcTheyRefuse = []rfcReason{
	reason("empty lines before the request", `^(\r\n)+`),
	reason("target that is no URL", `^[^ ]* [^ ]*[%:\[\]@#]`),
	reason("raw characters in the target", `^[^ ]* [^ ]*[\x80-\xff"<>\\^\x60{|}]`),
	reason("CONNECT", `^CONNECT `),
	reason("absolute form", `^[^ ]* [A-Za-z]`),
	reason("length with a coding net/http does not know", `(?i)\r\ntransfer-encoding:`),
	reason("no version below HTTP/1.0 or of more digits", `^[^\r\n]*HTTP/\d\d`),
	reason("1xx and others with odd lengths", `(?i)\r\ncontent-length:`),
	reason("trailer field that net/http forbids", `(?i)\r\ntrailer:`),
}

// excused reports whether a reason of the list holds for head.
func excused(list []rfcReason, head []byte) bool {
	return slices.ContainsFunc(list, func(r rfcReason) bool { return r.is.Match(head) })
}

var rfcSeeds = []string{
	rfcGet, "POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + rfcGet,
	"POST / HTTP/1.1\r\nhost:a\r\nTransfer-Encoding: chunked\r\n\r\n05;x=\"y\"\r\nhello\r\n0\r\nT: v\r\n\r\n" + rfcGet,
	"\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HEAD http://a/ HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n\x16\x03", "OPTIONS * HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
	"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nGET / HTTP/1.1\r\n\r\n", "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx" + rfcGet,
	"0 * HTTP/1.2\r\n\r\n", "POST / HTTP/1.1\r\nTrAnsfer-EnCoding:gZip,Chunked\r\n\r\n0\r\n\r\n" + rfcGet, strings.Repeat("\r\n", 9) + rfcGet,
}

// FuzzRequestAgainstNetHTTP compares what the two make of a request head.
func FuzzRequestAgainstNetHTTP(f *testing.F) {
	for _, s := range rfcSeeds {
		f.Add([]byte(s))
	}
	for _, c := range rfcBadHeads {
		f.Add([]byte(c.raw))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		head := rfcHead(in)
		if head == nil {
			return
		}
		got, err := h1.ParseRequest(head, h1.Limits{})
		want, wantErr := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(head), len(head)+1))
		switch {
		case err != nil && wantErr == nil:
			if !excused(rfcWeRefuse, head) {
				t.Fatalf("net/http accepts, we do not: %v\n%q", err, head)
			}
		case err == nil && wantErr != nil:
			if !excused(rfcTheyRefuse, head) {
				t.Fatalf("we accept, net/http does not: %v\n%q", wantErr, head)
			}
		case err == nil:
			if want.ProtoMajor == 1 && want.ProtoMinor > 1 {
				want.Proto = "HTTP/1.1" // RFC 9110, section 2.5: read as the highest we know
			}
			if got.Method != want.Method || got.Target != want.RequestURI || got.Proto.String() != want.Proto {
				t.Errorf("%q: %s %s %v, net/http %s %s %s", head, got.Method, got.Target, got.Proto, want.Method, want.RequestURI, want.Proto)
			}
			if want.Host != "" && got.Authority != want.Host && got.Method != "CONNECT" {
				t.Errorf("%q is for %q, net/http: %q", head, got.Authority, want.Host)
			}
			rfcSameFields(t, head, got.Header, want.Header)
			if !bytes.Equal(got.Raw, head) {
				t.Errorf("raw %q of %q", got.Raw, head)
			}
		}
	})
}

// FuzzResponseAgainstNetHTTP compares what the two make of a response head.
func FuzzResponseAgainstNetHTTP(f *testing.F) {
	for _, s := range []string{rfcOK, "HTTP/1.0 404 \r\n\r\n", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: T\r\n\r\n"} {
		f.Add([]byte(s))
	}
	for _, c := range rfcBadResponses {
		f.Add([]byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		head := rfcHead(in)
		if head == nil {
			return
		}
		got, err := h1.ParseResponse(head, h1.Limits{})
		want, wantErr := http.ReadResponse(bufio.NewReaderSize(bytes.NewReader(head), len(head)+1), nil)
		switch {
		case err != nil && wantErr == nil:
			if !excused(rfcWeRefuse, head) {
				t.Fatalf("net/http accepts, we do not: %v\n%q", err, head)
			}
		case err == nil && wantErr != nil:
			if !excused(rfcTheyRefuse, head) {
				t.Fatalf("we accept, net/http does not: %v\n%q", wantErr, head)
			}
		case err == nil:
			if want.ProtoMajor == 1 && want.ProtoMinor > 1 {
				want.Proto = "HTTP/1.1"
			}
			_, reason, _ := strings.Cut(want.Status, " ")
			if got.Status != want.StatusCode || strings.TrimSpace(got.Reason) != strings.TrimSpace(reason) || got.Proto.String() != want.Proto {
				t.Errorf("%q: %v %d %q, net/http %s %q", head, got.Proto, got.Status, got.Reason, want.Proto, want.Status)
			}
			rfcSameFields(t, head, got.Header, want.Header)
		}
	})
}

// rfcHead cuts in after its first empty line, leading ones apart.
func rfcHead(in []byte) []byte {
	lead := 0
	for bytes.HasPrefix(in[lead:], []byte("\r\n")) {
		lead += 2
	}
	end := bytes.Index(in[lead:], []byte("\r\n\r\n"))
	if end < 0 {
		return nil
	}
	return in[:lead+end+4]
}

// rfcSameFields compares fields as far as net/http keeps them: it drops Host,
// Transfer-Encoding and Trailer, and the order between names.
func rfcSameFields(t *testing.T, head []byte, got flow.Header, want http.Header) {
	t.Helper()
	ours := make(http.Header)
	for _, f := range got {
		k := textproto.CanonicalMIMEHeaderKey(f.Name)
		ours[k] = append(ours[k], f.Value)
	}
	for _, h := range []http.Header{ours, want} {
		for _, k := range []string{"Host", "Transfer-Encoding", "Trailer", "Content-Length", "Cache-Control"} {
			delete(h, k) // the last: net/http adds one for Pragma
		}
	}
	for k, v := range ours {
		if !slices.Equal(v, want[k]) {
			t.Errorf("%q: %s is %q, net/http: %q", head, k, v, want[k])
		}
	}
	if len(ours) != len(want) {
		t.Errorf("%q: fields %v, net/http: %v", head, ours, want)
	}
}

// FuzzBodyAgainstNetHTTP compares request bodies: whatever reaches the origin
// is to net/http the same sequence of requests as what the client had sent, as
// far as it went.
func FuzzBodyAgainstNetHTTP(f *testing.F) {
	for _, c := range rfcBadBodies {
		f.Add([]byte(c.good+c.bad), uint8(0))
	}
	f.Add([]byte("5;x\r\nhello\r\n0\r\nT: v\r\n\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, segment uint8) {
		in := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + string(body)
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, rfcSetup{segment: int(segment)})
			defer r.finish()
			go r.ask(in)
			got, _ := r.atOrigin.settled()
			if !strings.HasPrefix(in, got) {
				t.Fatalf("the origin received %q of %q", got, in)
			}
			sent, sentErr := rfcFirstBody(in)
			passed, passedErr := rfcFirstBody(got)
			if passedErr == nil && (sentErr != nil || passed != sent) {
				t.Errorf("the origin reads %q, the client sent %q, %v: %q", passed, sent, sentErr, in)
			}
			if passedErr != nil && !strings.HasPrefix(sent, passed) {
				t.Errorf("the origin reads %q before %v, the client sent %q", passed, passedErr, sent)
			}
		})
	})
}

func rfcFirstBody(in string) (string, error) {
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(in)))
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(req.Body)
	return string(b), err
}
