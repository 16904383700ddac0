package h1_test

import (
	"bufio"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"transom/internal/proto/h1"
)

// An rfcBadRequest is a request head that two readers may take for different
// things, or that is no request at all.
type rfcBadRequest struct {
	name   string
	raw    string
	status []int // 400 if empty
}

// with is a request whose head has more fields than the usual ones.
func with(name, fields string, status ...int) rfcBadRequest {
	return rfcBadRequest{name, "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n", status}
}

var rfcBadHeads = []rfcBadRequest{
	// Lines.
	{name: "2.2-bare-lf-everywhere", raw: "GET / HTTP/1.1\nHost: a\n\n"},
	{name: "2.2-bare-lf-after-the-request-line", raw: "GET / HTTP/1.1\nHost: a\r\n\r\n"},
	{name: "2.2-bare-lf-after-a-field", raw: "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n"},
	{name: "2.2-bare-lf-as-the-empty-line", raw: "GET / HTTP/1.1\r\nHost: a\r\n\n"},
	{name: "2.2-bare-lf-before-the-request", raw: "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "2.2-bare-cr-in-the-request-line", raw: "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "2.2-bare-cr-after-the-version", raw: "GET / HTTP/1.1\rHost: a\r\n\r\n"},
	{name: "2.2-two-crs", raw: "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"},
	with("2.2-bare-cr-in-a-value", "X: a\rb\r\n"),
	with("2.2-bare-cr-as-a-line-end", "X: a\rContent-Length: 5\r\n"),
	with("2.2-bare-cr-at-the-end-of-a-value", "X: a\r\r\n"),
	with("2.2-bare-cr-in-a-name", "X\rY: a\r\n"),
	{name: "2.2-white-space-before-the-first-field", raw: "GET / HTTP/1.1\r\n Host: a\r\n\r\n"},
	{name: "2.2-white-space-before-the-request", raw: " GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	with("5.2-folded-line", "X: a\r\n b\r\n"),
	with("5.2-folded-by-a-tab", "X: a\r\n\tb\r\n"),
	with("5.2-folded-to-nothing", "X: a\r\n \r\n"),
	with("5.2-folded-framing", "Transfer-Encoding:\r\n chunked\r\n"),

	// The request line.
	{name: "3-two-spaces", raw: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3-space-in-the-target", raw: "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3-tab-instead-of-a-space", raw: "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3-space-after-the-version", raw: "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
	{name: "3-two-spaces-before-the-version", raw: "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3-no-version", raw: "GET /\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "3-no-target", raw: "GET HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3-empty-target", raw: "GET  HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.1-no-method", raw: " / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.1-method-is-no-token", raw: "GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.1-method-of-obs-text", raw: "G\xc9T / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.1-colon-after-the-method", raw: "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2-target-in-no-form", raw: "GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2-nul-in-the-target", raw: "GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2-tab-in-the-target", raw: "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2-del-in-the-target", raw: "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "2.3-http-0.9", raw: "GET / HTTP/0.9\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-http-2.0", raw: "GET / HTTP/2.0\r\nHost: a\r\n\r\n", status: []int{505}},
	{name: "2.3-http-3.7", raw: "GET / HTTP/3.7\r\nHost: a\r\n\r\n", status: []int{505}},
	{name: "2.3-version-has-case", raw: "GET / http/1.1\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-version-of-three-digits", raw: "GET / HTTP/1.10\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-major-of-two-digits", raw: "GET / HTTP/01.1\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-no-minor", raw: "GET / HTTP/1\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-comma", raw: "GET / HTTP/1,1\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-signed", raw: "GET / HTTP/+1.1\r\nHost: a\r\n\r\n", status: []int{400, 505}},
	{name: "2.3-another-protocol", raw: "OPTIONS / RTSP/1.0\r\nHost: a\r\n\r\n", status: []int{400, 505}},

	// Fields.
	with("5.1-space-before-the-colon", "X : a\r\n"),
	with("5.1-tab-before-the-colon", "X\t: a\r\n"),
	with("5.1-space-before-the-colon-of-framing", "Content-Length : 5\r\n"),
	with("5.1-space-before-the-colon-of-coding", "Transfer-Encoding : chunked\r\n"),
	with("5.1-space-in-a-name", "X Y: a\r\n"),
	with("5.1-no-colon", "X\r\n"),
	with("5.1-no-name", ": a\r\n"),
	with("5.1-name-of-obs-text", "X\xe9: a\r\n"),
	with("5.1-nul-in-a-name", "X\x00: a\r\n"),
	with("5.1-name-is-no-token", "X(Y): a\r\n"),
	with("5.1-quoted-name", "\"X\": a\r\n"),
	with("9110-5.5-nul-in-a-value", "X: a\x00b\r\n"),
	with("9110-5.5-bell-in-a-value", "X: a\x07b\r\n"),
	with("9110-5.5-escape-in-a-value", "X: \x1b[2J\r\n"),
	with("9110-5.5-vertical-tab-in-a-value", "X: \x0b\r\n"),
	with("9110-5.5-form-feed-in-a-value", "X: a\x0c\r\n"),
	with("9110-5.5-del-in-a-value", "X: a\x7f\r\n"),

	// Host.
	{name: "3.2-two-hosts", raw: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
	{name: "3.2-the-same-host-twice", raw: "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: a\r\n\r\n"},
	{name: "3.2-two-hosts-with-http-1.0", raw: "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
	{name: "3.2-space-in-the-host", raw: "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
	{name: "3.2-path-in-the-host", raw: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
	{name: "3.2-user-in-the-host", raw: "GET / HTTP/1.1\r\nHost: b@a\r\n\r\n"},

	// Length.
	with("6.3-two-lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
	with("6.3-two-lengths-in-odd-case", "Content-Length: 5\r\ncONTENT-lENGTH: 6\r\n"),
	with("6.3-two-lengths-in-a-list", "Content-Length: 5, 6\r\n"),
	with("6.3-zero-and-a-length", "Content-Length: 0\r\nContent-Length: 5\r\n"),
	with("6.2-length-with-a-plus", "Content-Length: +5\r\n"),
	with("6.2-negative-length", "Content-Length: -5\r\n"),
	with("6.2-negative-zero", "Content-Length: -0\r\n"),
	with("6.2-hexadecimal-length", "Content-Length: 0x5\r\n"),
	with("6.2-length-with-a-fraction", "Content-Length: 5.0\r\n"),
	with("6.2-length-with-an-exponent", "Content-Length: 1e3\r\n"),
	with("6.2-length-with-a-space", "Content-Length: 5 5\r\n"),
	with("6.2-length-with-an-underscore", "Content-Length: 1_0\r\n"),
	with("6.2-quoted-length", "Content-Length: \"5\"\r\n"),
	with("6.2-length-and-a-parameter", "Content-Length: 5;a\r\n"),
	with("6.2-empty-length", "Content-Length:\r\n"),
	with("6.2-length-is-a-word", "Content-Length: chunked\r\n"),
	with("6.2-length-beyond-63-bits", "Content-Length: 9223372036854775808\r\n"),
	with("6.2-length-beyond-64-bits", "Content-Length: 18446744073709551621\r\n"),
	with("6.2-length-of-many-digits", "Content-Length: "+strings.Repeat("9", 60)+"\r\n"),
	with("6.2-length-in-other-digits", "Content-Length: \xd9\xa5\r\n"),
	with("6.2-length-ends-in-a-comma", "Content-Length: 5,\r\n"),

	// Transfer coding.
	with("6.1-length-and-coding", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
	with("6.1-coding-and-length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
	with("6.1-coding-and-length-zero", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
	with("6.1-unknown-coding-and-length", "Transfer-Encoding: x\r\nContent-Length: 5\r\n", 400, 501),
	with("6.1-coding-identity", "Transfer-Encoding: identity\r\n", 400, 501),
	with("6.1-coding-is-close-to-chunked", "Transfer-Encoding: xchunked\r\n", 400, 501),
	with("6.1-coding-begins-like-chunked", "Transfer-Encoding: chunkedx\r\n", 400, 501),
	with("6.1-quoted-coding", "Transfer-Encoding: \"chunked\"\r\n", 400, 501),
	with("6.1-coding-with-a-parameter", "Transfer-Encoding: chunked;q=1\r\n", 400, 501),
	with("6.1-two-words", "Transfer-Encoding: chunked x\r\n", 400, 501),
	with("6.1-vertical-tab-before-chunked", "Transfer-Encoding: \x0bchunked\r\n"),
	with("6.1-coding-of-obs-text", "Transfer-Encoding: chunked\xa0\r\n", 400, 501),
	with("6.1-empty-coding", "Transfer-Encoding:\r\n", 400, 501),
	with("6.1-empty-coding-and-length", "Transfer-Encoding:\r\nContent-Length: 5\r\n", 400, 501),
	with("6.1-chunked-twice", "Transfer-Encoding: chunked, chunked\r\n", 400, 501),
	with("6.1-chunked-twice-in-two-fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400, 501),
	with("6.3-chunked-is-not-final", "Transfer-Encoding: chunked, gzip\r\n", 400, 501),
	with("6.3-chunked-is-not-final-in-two-fields", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400, 501),
	with("6.3-never-chunked", "Transfer-Encoding: gzip\r\n", 400, 501),
	with("6.1-unknown-then-chunked", "Transfer-Encoding: x-unknown, chunked\r\n", 400, 501),
	{name: "6.1-coding-with-http-1.0", raw: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{name: "6.1-coding-with-http-1.0-and-keep-alive", raw: "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"},
}

// TestRFC9112Refuses checks that such a head is answered and ends the
// connection, is reported, and that neither it nor what follows goes on.
func TestRFC9112Refuses(t *testing.T) {
	const follows = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range rfcBadHeads {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range rfcModes {
				t.Run(m.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRFCRelay(t, rfcSetup{segment: m.segment})
						defer r.finish()
						rfcSend(r, c.raw+follows, m.drip)
						r.wantOrigin("")
						rfcWantRefusal(r, c.raw+follows, c.status)
					})
				})
			}
		})
	}
}

// TestRFC9112RefusesTheSecond checks that what was good before is served.
func TestRFC9112RefusesTheSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		r.ask(rfcGet + "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n" + rfcGet)
		r.wantOrigin(rfcGet)
		r.wantClient("")
		r.answer(rfcOK)
		got, _ := r.atClient.settled()
		if !strings.HasPrefix(got, rfcOK+"HTTP/1.1 400 ") {
			t.Fatalf("the client received %q%s", got, r.state())
		}
		r.wantOrigin(rfcGet)
		r.wantEnded()
	})
}

func rfcSend(r *rfcRelay, s string, drip bool) {
	if !drip {
		r.ask(s)
		return
	}
	for i := range len(s) {
		r.ask(s[i : i+1])
		synctest.Wait()
	}
}

// rfcWantRefusal checks that the client was told one of the given statuses, in
// a well-formed last response, and that in was reported.
func rfcWantRefusal(r *rfcRelay, in string, status []int) {
	r.t.Helper()
	if len(status) == 0 {
		status = []int{400}
	}
	got, _ := r.atClient.settled()
	br := bufio.NewReader(strings.NewReader(got))
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		r.t.Fatalf("the client received %s: %v%s", rfcShow(got), err, r.state())
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		r.t.Errorf("body of %s: %v", rfcShow(got), err)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		r.t.Errorf("after the refusal came %q", rest)
	}
	if !slices.Contains(status, resp.StatusCode) {
		r.t.Errorf("refused with %d, want one of %d%s", resp.StatusCode, status, r.state())
	}
	if !resp.Close {
		r.t.Errorf("the refusal does not say close: %s", rfcShow(got))
	}
	r.wantEnded()
	if len(r.refused) != 1 {
		r.t.Fatalf("reported %d times: %v", len(r.refused), r.refused)
	}
	f := r.refused[0]
	if f.status != resp.StatusCode || f.err == nil {
		r.t.Errorf("reported with %d and %v, answered with %d", f.status, f.err, resp.StatusCode)
	}
	if f.raw == "" || !strings.Contains(in, f.raw) {
		r.t.Errorf("reported as %s, sent was %s", rfcShow(f.raw), rfcShow(in))
	}
}

// An rfcBadBody is a chunked body that goes wrong: bad is malformed from its
// first byte on if what comes before it is good.
type rfcBadBody struct{ name, good, bad string }

var rfcBadBodies = []rfcBadBody{
	{"7.1-no-size", "", "\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-is-no-number", "", "g\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-with-0x", "0", "x5\r\nhello\r\n0\r\n\r\n"},
	{"7.1-negative-size", "", "-5\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-with-a-plus", "", "+5\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-with-an-underscore", "1", "_0\r\nhello\r\n0\r\n\r\n"},
	{"7.1-space-before-the-size", "", " 5\r\nhello\r\n0\r\n\r\n"},
	{"7.1-two-sizes", "5", " 5\r\nhello\r\n0\r\n\r\n"},
	{"7.1-bare-lf-after-the-size", "5", "\nhello\r\n0\r\n\r\n"},
	{"7.1-bare-cr-after-the-size", "5", "\rhello\r\n0\r\n\r\n"},
	{"7.1-two-crs-after-the-size", "5", "\r\r\nhello\r\n0\r\n\r\n"},
	{"7.1-bare-lf-after-the-data", "5\r\nhello", "\n0\r\n\r\n"},
	{"7.1-bare-cr-after-the-data", "5\r\nhello", "\r0\r\n\r\n"},
	{"7.1-data-is-longer", "5\r\nhello", "!\r\n0\r\n\r\n"},
	{"7.1-data-is-shorter", "5\r\nhe\r\n0\r\n", "\r\nGET"},
	{"7.1-data-ends-without-crlf", "5\r\nhello", "0\r\n\r\n"},
	{"7.1-comma-after-the-size", "5", ",\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-beyond-63-bits", "800000000000000", "0\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-beyond-64-bits", "1000000000000000", "5\r\nhello\r\n0\r\n\r\n"},
	{"7.1-size-of-all-ones", "fffffffffffffff", "f\r\nhello\r\n0\r\n\r\n"},
	{"7.1-second-size-is-no-number", "1\r\nx\r\n", "zz\r\nhello\r\n0\r\n\r\n"},
	{"7.1.1-bare-lf-in-an-extension", "5;a", "\nb\r\nhello\r\n0\r\n\r\n"},
	{"7.1.1-bare-cr-in-an-extension", "5;a", "\rb\r\nhello\r\n0\r\n\r\n"},
	{"7.1.1-nul-in-an-extension", "5;a", "\x00\r\nhello\r\n0\r\n\r\n"},
	{"7.1.1-bare-lf-in-a-quoted-extension", "5;a=\"", "\n\"\r\nhello\r\n0\r\n\r\n"},
	{"7.1-bare-lf-after-the-last-chunk", "0", "\n\r\n"},
	{"7.1-bare-lf-as-the-end", "0\r\n", "\n"},
	{"7.1.2-trailer-without-a-colon", "0\r\n", "GET / HTTP/1.1\r\n\r\n"},
	{"7.1.2-space-before-the-colon", "0\r\n", "X : y\r\n\r\n"},
	{"7.1.2-folded-trailer", "0\r\nX: y\r\n", " z\r\n\r\n"},
	{"7.1.2-white-space-before-the-first-trailer", "0\r\n", " X: y\r\n\r\n"},
	{"7.1.2-bare-lf-after-a-trailer", "0\r\nX: y", "\nZ: z\r\n\r\n"},
	{"7.1.2-bare-cr-in-a-trailer", "0\r\nX: y", "\rZ: z\r\n\r\n"},
	{"7.1.2-nul-in-a-trailer", "0\r\nX: ", "\x00\r\n\r\n"},
	{"7.1.2-trailer-without-a-name", "0\r\n", ": y\r\n\r\n"},
}

// TestRFC9112CutsBadRequestBodies checks that the origin gets nothing of a
// chunked body from its first wrong byte on, nor the end of one, nor another
// request; and that both connections are over.
func TestRFC9112CutsBadRequestBodies(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range rfcBadBodies {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range rfcModes {
				t.Run(m.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRFCRelay(t, rfcSetup{segment: m.segment})
						defer r.finish()
						rfcSend(r, head+c.good+c.bad+rfcGet, m.drip)
						got, end := r.atOrigin.settled()
						if !strings.HasPrefix(head+c.good, got) {
							t.Errorf("the origin received %s, good was %s", rfcShow(got), rfcShow(head+c.good))
						}
						if end == nil {
							t.Errorf("the origin's connection is still open%s", r.state())
						}
						r.wantEnded()
						r.wantErr(true)
						if told, _ := r.atClient.settled(); told != "" && !strings.HasPrefix(told, "HTTP/1.1 400 ") {
							t.Errorf("the client received %q", told)
						}
					})
				})
			}
		})
	}
}

// TestRFC9112CutsBadResponseBodies checks the same towards the client.
func TestRFC9112CutsBadResponseBodies(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range rfcBadBodies {
		t.Run(c.name, func(t *testing.T) {
			for _, m := range rfcModes {
				t.Run(m.name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := newRFCRelay(t, rfcSetup{segment: m.segment})
						defer r.finish()
						r.ask(rfcGet)
						synctest.Wait()
						r.answer(head + c.good + c.bad + rfcOK)
						got, _ := r.atClient.settled()
						if !strings.HasPrefix(head+c.good, got) {
							t.Errorf("the client received %s, good was %s", rfcShow(got), rfcShow(head+c.good))
						}
						r.wantEnded()
						r.wantErr(true)
					})
				})
			}
		})
	}
}

// rfcEither are messages that RFC 9112 allows and a careful codec may refuse.
// They pass byte for byte or not at all.
var rfcEither = []rfcBadRequest{
	with("6.3-the-same-length-twice", "Content-Length: 5\r\nContent-Length: 5\r\n"),
	with("6.1-gzip-then-chunked", "Transfer-Encoding: gzip, chunked\r\n"),
	with("6.1-empty-elements", "Transfer-Encoding: , chunked,\r\n"),
	{name: "2.3-http-1.2", raw: "GET / HTTP/1.2\r\nHost: a\r\n\r\n"},
	{name: "3.2.4-asterisk-for-get", raw: "GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2.3-connect-to-a-path", raw: "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2.2-another-scheme", raw: "GET ftp://a/b HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "3.2-fragment", raw: "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n"},
	with("7.1.1-space-before-an-extension", "Transfer-Encoding: chunked\r\n\r\n5 ;a\r\nhello\r\n0\r\n"),
	with("7.1.1-spaces-around-the-equals-sign", "Transfer-Encoding: chunked\r\n\r\n5;a = b\r\nhello\r\n0\r\n"),
	with("7.1.1-space-after-the-size", "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n"),
}

func TestRFC9112PassesOrRefuses(t *testing.T) {
	for _, c := range rfcEither {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				in := c.raw
				if strings.Contains(in, "Content-Length") {
					in += "hello"
				}
				if strings.Contains(in, ", chunked") {
					in += "5\r\nhello\r\n0\r\n\r\n"
				}
				r.ask(in)
				got, _ := r.atOrigin.settled()
				t.Logf("passed: %v", got == in)
				if once := strings.Replace(in, "Content-Length: 5\r\nContent-Length: 5\r\n", "Content-Length: 5\r\n", 1); once != in {
					if got == in {
						t.Error("RFC 9110, section 8.6: the length must be refused or sent once")
					}
					in = once
				}
				if got == in && !r.over() {
					return
				}
				if got == in || !strings.HasPrefix(in, got) {
					t.Errorf("the origin received %s of %s%s", rfcShow(got), rfcShow(in), r.state())
				}
				r.wantEnded()
			})
		})
	}
}

// TestRFC9112Limits checks that each bound holds, and not before it is reached.
func TestRFC9112Limits(t *testing.T) {
	fields := func(n int) string { return strings.Repeat("X: y\r\n", n) }
	for _, c := range []struct {
		name   string
		limits h1.Limits
		raw    string
		status []int // nil passes
	}{
		{"head-within", h1.Limits{Head: 100}, "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 60) + "\r\n\r\n", nil},
		{"head-beyond", h1.Limits{Head: 100}, "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 100) + "\r\n\r\n", []int{431}},
		{"head-beyond-and-never-ending", h1.Limits{Head: 100}, "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 200), []int{431}},
		{"head-beyond-by-fields", h1.Limits{Head: 100}, "GET / HTTP/1.1\r\n" + fields(40) + "\r\n", []int{431}},
		{"request-line-beyond", h1.Limits{Head: 100}, "GET /" + strings.Repeat("y", 200) + " HTTP/1.1\r\n\r\n", []int{414}},
		{"request-line-beyond-and-never-ending", h1.Limits{Head: 100}, "GET /" + strings.Repeat("y", 200), []int{414}},
		{"fields-within", h1.Limits{Fields: 4}, "GET / HTTP/1.1\r\n" + fields(4) + "\r\n", nil},
		{"fields-beyond", h1.Limits{Fields: 4}, "GET / HTTP/1.1\r\n" + fields(5) + "\r\n", []int{431}},
		{"default-fields-within", h1.Limits{}, "GET / HTTP/1.1\r\n" + fields(256) + "\r\n", nil},
		{"default-fields-beyond", h1.Limits{}, "GET / HTTP/1.1\r\n" + fields(257) + "\r\n", []int{431}},
		{"default-head-within", h1.Limits{}, "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 65<<10-1200) + "\r\n\r\n", nil},
		{"default-head-beyond", h1.Limits{}, "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 64<<10) + "\r\n\r\n", []int{431}},
		{"default-request-line-within", h1.Limits{}, "GET /" + strings.Repeat("y", 60<<10) + " HTTP/1.1\r\n\r\n", nil},
		{"default-request-line-beyond", h1.Limits{}, "GET /" + strings.Repeat("y", 65<<10) + " HTTP/1.1\r\n\r\n", []int{414}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{options: h1.Options{Limits: c.limits}})
				defer r.finish()
				r.ask(c.raw)
				if c.status == nil {
					r.wantOrigin(c.raw)
					return
				}
				r.wantOrigin("")
				rfcWantRefusal(r, c.raw, c.status)
			})
		})
	}
}

// TestRFC9112LimitsInBodies checks that lines within a body are bounded too
// (RFC 9112, sections 7.1.1 and 7.1.2).
func TestRFC9112LimitsInBodies(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, body := range map[string]string{
		"extension":   "5;" + strings.Repeat("a", 1<<20),
		"extensions":  "5" + strings.Repeat(";a=b", 1<<18),
		"size":        strings.Repeat("0", 1<<20),
		"trailer":     "0\r\nX: " + strings.Repeat("y", 1<<20),
		"trailers":    "0\r\n" + strings.Repeat("X: y\r\n", 1<<17),
		"empty-lines": "",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				in := head + body
				if name == "empty-lines" {
					in = strings.Repeat("\r\n", 1<<19)
				}
				r.ask(in)
				if got, _ := r.atOrigin.settled(); len(got) > 200<<10 {
					t.Errorf("the origin received %d bytes of it", len(got))
				}
				r.wantEnded()
			})
		})
	}
}
