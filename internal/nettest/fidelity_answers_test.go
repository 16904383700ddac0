package nettest_test

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"strings"
)

// An answer is what the origin says to a request, in HTTP/1 and in HTTP/2.
type answer struct {
	interim []pair // of a 103
	status  string
	header  []pair // without what frames the body
	body    string
	chunks  []string // instead of a body, of HTTP/1; in HTTP/2 they are its body
	trailer []pair

	framing framing
	part    int // of the body, before the end; -1 is all of it
	end     end
}

type pair struct{ name, value string }

// A framing is how HTTP/1 tells where a body ends.
type framing int

const (
	byLength framing = iota
	byChunks
	byClose
	byNothing // there is no body
)

// An end is what the server does once the answer is out.
type end int

const (
	goOn    end = iota
	finish      // FIN, behind close_notify if there is TLS
	cut         // FIN without close_notify
	reset       // RST; of the stream, in HTTP/2
	stall       // waits for the client to leave
	flood       // sends on until the client leaves
	goAway      // HTTP/2: GOAWAY, and no further streams
	refuse      // HTTP/2: RST_STREAM with REFUSED_STREAM
	abandon     // HTTP/2: RST of the connection
)

//go:embed testdata/fidelity/page.html
var visitPage string

const hello = "hello from the origin\n"

// odd are fields that somebody who rewrites heads would rewrite.
var odd = []pair{
	{"date", "Sun, 06 Nov 1994 08:49:37 GMT"},
	{"Content-Type", "text/plain"},
	{"x-oDD-case", "1"},
	{"X-Odd-Case", "2"},
	{"X-Empty", ""},
	{"Cache-Control", "no-store"},
}

// answers are found by the last part of the path. What is sent before the
// server ends or resets a connection is none of a client's business; what it
// does then is.
var answers = map[string]answer{
	"get":        {status: "200 OK", header: odd, body: hello, part: -1},
	"page":       {status: "200 OK", header: []pair{{"Content-Type", "text/html"}, {"Cache-Control", "no-store"}}, body: visitPage, part: -1},
	"meet":       {status: "200 OK", header: odd, body: hello, part: -1},
	"post":       {status: "200 Fine, thank you", header: odd, body: hello, part: -1},
	"chunked":    {status: "200 OK", header: odd, chunks: []string{"5;why=not\r\nhello\r\n", "C ; a=\"b\"\r\n from origin\r\n", "00\r\n\r\n"}, framing: byChunks, part: -1},
	"trailers":   {status: "200 OK", header: append([]pair{{"Trailer", "x-Sum"}}, odd...), chunks: []string{"0005\r\nhello\r\n", "0\r\n"}, trailer: []pair{{"x-Sum", "1 2"}, {"X-more", ""}}, framing: byChunks, part: -1},
	"gzip":       {status: "200 OK", header: append([]pair{{"Content-Encoding", "gzip"}, {"Vary", "Accept-Encoding"}}, odd...), body: zipped(strings.Repeat(hello, 100)), part: -1},
	"large":      {status: "200 OK", header: odd, body: strings.Repeat("0123456789abcdef", 1<<16), part: -1},
	"redirect":   {status: "302 Found", header: append([]pair{{"Location", "get"}}, odd...), body: "go there\n", part: -1},
	"cookie":     {status: "200 OK", header: append([]pair{{"Set-Cookie", "a=1; Path=/"}, {"set-cookie", "b=2; Path=/"}}, odd...), body: hello, part: -1},
	"none":       {status: "204 No Content", header: odd, framing: byNothing},
	"unmodified": {status: "304 Not Modified", header: append([]pair{{"ETag", `"x"`}}, odd...), framing: byNothing},
	"hints":      {interim: []pair{{"link", "</a.css>; rel=preload"}}, status: "200 OK", header: odd, body: hello, part: -1},
	"error":      {status: "500 ", header: odd, body: hello, part: -1},
	"refuse":     {status: "417 Expectation Failed", header: append([]pair{{"Connection", "close"}}, odd...), body: hello, part: -1, end: finish},

	"close":       {status: "200 OK", header: append([]pair{{"Connection", "close"}}, odd...), body: hello, part: -1, end: finish},
	"until-close": {status: "200 OK", header: odd, body: hello, framing: byClose, part: -1, end: finish},
	"until-cut":   {status: "200 OK", header: odd, body: hello, framing: byClose, part: -1, end: cut},
	"finish":      {status: "200 OK", header: odd, body: strings.Repeat("x", 1000), part: 10, end: finish},
	"cut":         {status: "200 OK", header: odd, body: strings.Repeat("x", 1000), part: 10, end: cut},
	"reset":       {status: "200 OK", header: odd, body: strings.Repeat("x", 1000), part: 10, end: reset},
	"hang-up":     {end: finish},
	"vanish":      {end: reset},
	"stall":       {status: "200 OK", header: odd, body: strings.Repeat("x", 1000), part: 0, end: stall},
	"early":       {status: "200 OK", header: odd, body: strings.Repeat("x", 1000), part: 0, end: stall},
	"flood":       {status: "200 OK", header: odd, body: strings.Repeat("x", 1<<16), part: -1, end: flood},

	"idle-finish": {status: "200 OK", header: odd, body: hello, part: -1, end: finish},
	"idle-cut":    {status: "200 OK", header: odd, body: hello, part: -1, end: cut},
	"idle-reset":  {status: "200 OK", header: odd, body: hello, part: -1, end: reset},

	"go-away": {status: "200 OK", header: odd, body: hello, part: -1, end: goAway},
	"refused": {end: refuse},
	"abandon": {status: "200 OK", header: odd, body: strings.Repeat("x", 1000), part: 10, end: abandon},
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s)) // a bytes.Buffer takes all
	_ = z.Close()
	return b.String()
}
