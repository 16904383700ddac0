package h1_test

import (
	"strings"
	"testing"
	"testing/synctest"
)

// An rfcPass is a conversation that has to pass byte for byte; see rfcPlay for
// how it is written down. Unless it ends, the connection has to stay usable,
// and end without an error when the client then sends FIN.
type rfcPass struct {
	name   string
	script []string
	ends   bool // the proxy ends the connection after the last line
	lazy   bool // bytes may arrive late, but all by the end
	loose  bool // nothing is said about the connection's state at the end
}

// one is the case of one request and one response.
func one(name, request, response string) rfcPass {
	return rfcPass{name: name, script: []string{">" + request, "<" + response}}
}

// TestRFC9112Passes holds the codec to what RFC 9112 (numbers as in the names)
// calls a valid message, and to the oddities that are safe to pass on. Names
// that begin with 9110 are sections of that RFC.
func TestRFC9112Passes(t *testing.T) {
	for _, table := range [][]rfcPass{rfcHeads, rfcBodies, rfcChunks, rfcPersistence, rfcStatuses} {
		for _, c := range table {
			t.Run(c.name, func(t *testing.T) {
				for _, m := range rfcModes {
					t.Run(m.name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							r := newRFCRelay(t, rfcSetup{segment: m.segment})
							defer r.finish()
							c.play(r, m.drip)
						})
					})
				}
			})
		}
	}
}

func (c rfcPass) play(r *rfcRelay, drip bool) {
	r.t.Helper()
	rfcPlay(r, c.script, drip, c.lazy)
	if len(r.refused) > 0 {
		r.t.Errorf("reported as refused: %v", r.refused)
	}
	switch {
	case c.loose:
		return
	case c.ends:
		r.wantEnded()
	default:
		r.wantServing()
		_ = r.client.CloseWrite()
		r.wantEnded()
	}
	r.wantErr(false)
}

// TestRFC9112PassesInTwoPieces cuts the whole of what one side says at every
// byte; the second piece comes when the first has been digested.
func TestRFC9112PassesInTwoPieces(t *testing.T) {
	get := "\r\nGET /a?b HTTP/1.1\r\nhOST: \ta\r\nX: \xff \r\n\r\n"
	post := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n05;x=\"y\"\r\nhello\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n"
	put := "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	early := "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	ok := "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"
	chunks := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n00\r\n\r\n"
	scripts := [][]string{
		{">" + get, "<" + early + ok},
		{">" + post, "<" + early + chunks},
		{">" + put, "<" + chunks},
	}
	for _, s := range scripts {
		for who := range s {
			for cut := 1; cut < len(s[who])-1; cut++ {
				synctest.Test(t, func(t *testing.T) {
					r := newRFCRelay(t, rfcSetup{})
					defer r.finish()
					whole := s[who]
					script := append([]string{}, s[:who]...)
					script = append(script, whole[:1+cut], whole[:1]+whole[1+cut:])
					script = append(script, s[who+1:]...)
					rfcPlay(r, script, false, true)
					r.wantServing()
				})
			}
		}
	}
}

// TestRFC9112PrefixAtEveryByte gives the server what was already read of the
// connection, cut anywhere.
func TestRFC9112PrefixAtEveryByte(t *testing.T) {
	in := "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + rfcGet
	for cut := range len(in) + 1 {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, rfcSetup{prefix: in[:cut]})
			defer r.finish()
			r.ask(in[cut:])
			r.wantOrigin(strings.TrimSuffix(in, rfcGet))
			r.answer(rfcOK)
			r.wantOrigin(in)
			r.answer(rfcOK)
			r.wantClient(rfcOK + rfcOK)
			r.wantServing()
		})
	}
}

var rfcHeads = []rfcPass{
	one("2.2-empty-line-before-the-request", "\r\n"+rfcGet, rfcOK),
	one("2.2-two-empty-lines-before-the-request", "\r\n\r\n"+rfcGet, rfcOK),
	{name: "2.2-empty-line-after-a-body", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "<" + rfcOK,
		">\r\n" + rfcGet, "<" + rfcOK,
	}},
	one("3.1-lower-case-method", "get / HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.1-unregistered-method", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.1-every-token-character", "!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.2-no-host", "GET / HTTP/1.1\r\n\r\n", rfcOK),
	one("3.2-empty-host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", rfcOK),
	one("3.2-host-is-an-ipv6-address", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", rfcOK),
	one("3.2-host-is-not-first", "GET / HTTP/1.1\r\nA: b\r\nHOST: a\r\n\r\n", rfcOK),
	one("3.2.1-query", "GET /a/b;c?d=e&f=%20%zz HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.2.1-dots-and-slashes-stay", "GET //a/../b/./c// HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.2.1-characters-that-should-be-escaped", "GET /\"<>\\^`{|}[] HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.2.1-raw-utf8", "GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("3.2.2-absolute-form", "GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", rfcOK),
	one("3.2.2-absolute-form-without-path", "GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", rfcOK),
	one("3.2.4-asterisk-form", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("4-empty-reason", rfcGet, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
	one("4-odd-reason", rfcGet, "HTTP/1.1 200  Tr\xc3\xa8s\tbien \r\nContent-Length: 0\r\n\r\n"),
	one("4-another-reason", rfcGet, "HTTP/1.1 404 OK\r\nContent-Length: 0\r\n\r\n"),
	one("5-odd-case", "GET / HTTP/1.1\r\nhOsT: a\r\nX-FOO: b\r\nx-foo: c\r\n\r\n", "HTTP/1.1 200 OK\r\ncONTENT-lENGTH: 2\r\nserver: x\r\n\r\nok"),
	one("5-no-and-much-white-space", "GET / HTTP/1.1\r\nHost:a\r\nX: \t b\t c \t\r\nY:\td\r\nZ: \r\nW:\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length:\t2 \r\nE:\r\n\r\nok"),
	one("5-values-of-obs-text", "GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff caf\xe9\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \x80\xfe\r\n\r\n"),
	one("5-every-visible-character-in-a-value", "GET / HTTP/1.1\r\nHost: a\r\nX: !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\r\n\r\n", rfcOK),
	one("5-every-token-character-in-a-name", "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n", rfcOK),
	one("9110-5.3-duplicates-and-order", "GET / HTTP/1.1\r\nB: 1\r\nHost: a\r\nA: 1\r\nB: 2\r\nB: 1\r\nCookie: c\r\nCookie: d\r\n\r\n",
		"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\nSet-Cookie: b=2\r\nSet-Cookie: a=1\r\n\r\n"),
	one("9110-7.6.1-hop-by-hop-fields-stay", "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X\r\nKeep-Alive: timeout=5\r\nX: 1\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nMax-Forwards: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n"),
	one("2.3-version-of-the-response-is-its-own", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
}

var rfcBodies = []rfcPass{
	one("6.2-length-zero", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
	one("6.2-length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world", rfcOK),
	one("6.2-leading-zeros", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 02\r\n\r\nok"),
	one("6.2-body-that-looks-like-a-request", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 41\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: b.example\r\n", rfcOK),
	one("6.2-body-of-control-characters", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n\x00\r\r\n\n\xff", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\n\r\x00"),
	one("6-get-with-a-body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", rfcOK),
	one("6-post-without-a-body", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", rfcOK),
	one("6.3-head", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
	one("6.3-head-chunked", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
	one("6.3-head-without-length", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
	one("6.3-204", rfcGet, "HTTP/1.1 204 No Content\r\n\r\n"),
	one("6.3-204-with-a-length", rfcGet, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
	one("6.3-304-with-a-length", rfcGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n"),
	one("6.3-304-chunked", rfcGet, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
	{name: "6.3-head-then-get", script: []string{
		">HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
		">" + rfcGet, "<" + rfcOK,
	}},
	{name: "6.3-no-content-then-content", script: []string{">" + rfcGet, "<HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", ">" + rfcGet, "<" + rfcOK}},
	{name: "6.3-until-the-origin-closes", ends: true, script: []string{">" + rfcGet, "<HTTP/1.1 200 OK\r\n\r\nsome", "< more\r\n\r\n", "<|"}},
	{name: "6.3-until-the-origin-closes-nothing", ends: true, script: []string{">" + rfcGet, "<HTTP/1.1 200 OK\r\n\r\n", "<|"}},
	{name: "6.3-http-1.0-until-the-origin-closes", ends: true, script: []string{">GET / HTTP/1.0\r\n\r\n", "<HTTP/1.0 200 OK\r\n\r\nsome", "< more", "<|"}},
	{name: "6.3-keep-alive-does-not-end-a-body", ends: true, script: []string{">" + rfcGet, "<HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nsome", "< more", "<|"}},
	one("6.3-multipart-byteranges-has-no-say", rfcGet, "HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 5\r\n\r\n--x--"),
}

var rfcChunks = []rfcPass{
	one("7.1-chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	one("7.1-nothing-chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	one("7-coding-names-have-no-case", "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:\tCHUNKED \r\n\r\n1\r\nx\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding:Chunked\r\n\r\n1\r\ny\r\n0\r\n\r\n"),
	one("7.1-hexadecimal-in-both-cases", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\nA\r\n0123456789\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", rfcOK),
	one("7.1-leading-zeros", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n0000000000\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n02\r\nok\r\n000\r\n\r\n"),
	one("7.1-payload-that-looks-like-the-end", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", rfcOK),
	one("7.1.1-extensions", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n1;b=c;d=e\r\n!\r\n0;last\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;sig=\"a;b \\\" c\"\r\nok\r\n0;x=y\r\n\r\n"),
	one("7.1.2-trailers", "POST / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-Sum: \t1 \r\nX-Sum:2\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nT: \xff\r\nE:\r\n\r\n"),
	one("7.1.2-trailers-after-nothing", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n", rfcOK),
	{name: "7.1.2-framing-fields-in-trailers-mean-nothing", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nContent-Length: 50\r\nHost: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n", "<" + rfcOK,
		">" + rfcGet, "<" + rfcOK,
	}},
	{name: "7.1-then-another-request", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		">" + rfcGet, "<" + rfcOK,
	}},
	{name: "7.1-many-small-chunks", lazy: true, script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1\r\nx\r\n2\r\nyz\r\n", 60) + "0\r\n\r\n",
		"<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("01;e\r\nx\r\n", 60) + "0\r\n\r\n",
	}},
}

var rfcPersistence = []rfcPass{
	{name: "9.3-persistent", script: []string{">" + rfcGet, "<" + rfcOK, ">" + rfcGet, "<" + rfcOK, ">" + rfcGet, "<" + rfcOK}},
	{name: "9.3-http-1.0-is-not", ends: true, script: []string{">GET / HTTP/1.0\r\n\r\n", "<" + rfcOK}},
	{name: "9.3-http-1.0-response-is-not", ends: true, script: []string{">" + rfcGet, "<HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "9.3-http-1.0-keep-alive", script: []string{
		">GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		">GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	}},
	{name: "9.3-http-1.0-post-keep-alive", script: []string{
		">POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", "<HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
	}},
	{name: "9.6-request-says-close", ends: true, script: []string{">GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "<" + rfcOK}},
	{name: "9.6-response-says-close", ends: true, script: []string{">" + rfcGet, "<HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"}},
	{name: "9.6-close-has-no-case", ends: true, script: []string{">GET / HTTP/1.1\r\nHost: a\r\nconnection:CLOSE\r\n\r\n", "<" + rfcOK}},
	{name: "9.6-close-in-a-list", ends: true, script: []string{">GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive , close\r\n\r\n", "<" + rfcOK}},
	{name: "9.6-close-in-a-second-field", ends: true, script: []string{">GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", "<" + rfcOK}},
	{name: "9.6-close-after-chunks", ends: true, script: []string{">" + rfcGet, "<HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}},
	{name: "9.6-client-half-closes-after-its-request", ends: true, script: []string{">" + rfcGet, ">|", "<" + rfcOK}},
	{name: "9.6-client-half-closes-and-the-origin-is-slow", ends: true, script: []string{">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", ">|", "<HTTP/1.1 200 OK\r\n\r\nslow", "<er", "<|"}},
}

var rfcStatuses = []rfcPass{
	one("9110-15.2.1-100-unasked", rfcGet, "HTTP/1.1 100 Continue\r\n\r\n"+rfcOK),
	one("9110-15.2-several-1xx", rfcGet, "HTTP/1.1 102 Processing\r\nX: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 103 \r\n\r\n"+rfcOK),
	one("9110-15.2-1xx-has-no-body", rfcGet, "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n"+rfcOK),
	{name: "9110-15.2-1xx-is-not-held-back", script: []string{">" + rfcGet, "<HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "<" + rfcOK}},
	{name: "9110-10.1.1-continue", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "<HTTP/1.1 100 Go on\r\nX: y\r\n\r\n", ">hello", "<" + rfcOK,
		">" + rfcGet, "<" + rfcOK,
	}},
	{name: "9110-10.1.1-continue-chunked", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">5\r\nhello\r\n0\r\n\r\n", "<" + rfcOK,
	}},
	{name: "9110-10.1.1-continue-after-hints", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "<HTTP/1.1 103 Early Hints\r\n\r\n", "<HTTP/1.1 100 Continue\r\n\r\n", ">hello", "<" + rfcOK,
	}},
	{name: "9110-10.1.1-client-does-not-wait", lazy: true, script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", "<HTTP/1.1 100 Continue\r\n\r\n", "<" + rfcOK,
	}},
	{name: "9110-10.1.1-origin-sends-no-100", script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", ">hello", "<" + rfcOK,
	}},
	{name: "9110-10.1.1-refused-at-once", loose: true, script: []string{
		">POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "<HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno",
	}},
	{name: "9110-10.1.1-nothing-to-expect", script: []string{">GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "<" + rfcOK, ">" + rfcGet, "<" + rfcOK}},
	one("9110-15-status-beyond-599", rfcGet, "HTTP/1.1 999 Request Denied\r\nContent-Length: 2\r\n\r\nno"),
	one("9110-15-unknown-status", rfcGet, "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok"),
	{name: "9110-7.8-upgrade-refused", script: []string{">GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "<" + rfcOK, ">" + rfcGet, "<" + rfcOK}},
	{name: "9110-9.3.6-connect-refused", script: []string{">CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "<HTTP/1.1 405 No\r\nContent-Length: 2\r\n\r\nno", ">" + rfcGet, "<" + rfcOK}},
	{name: "9110-9.3.6-connect", ends: true, script: []string{">CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "<HTTP/1.1 200 Connected\r\n\r\n", ">\x16\x03\x01", "<\x16\x03\x03", ">|", "<bye", "<|"}},
	{name: "9110-9.3.6-connect-and-a-length", ends: true, script: []string{">CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "<HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", ">a", "<b", "<|", ">c", ">|"}},
	{name: "9110-9.3.6-connect-and-a-coding", ends: true, script: []string{">CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "<HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ">a", "<b", "<|", ">c", ">|"}},
	{name: "9110-7.8-upgrade", ends: true, script: []string{
		">GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"<\x81\x02hi", ">\x81\x82abcd\x09\x0b", "<|", ">\x88", ">|",
	}},
	{name: "9110-7.8-upgrade-and-first-bytes-at-once", ends: true, lazy: true, script: []string{
		">GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nearly from the client",
		"<HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nearly from the origin", ">|", "<|",
	}},
	{name: "9110-15.2-hints-before-101", ends: true, script: []string{
		">GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n", "<HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nx", ">|", "<|",
	}},
}
