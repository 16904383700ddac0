package filter

import (
	"slices"
	"strings"

	"transom/flow"
	"transom/pattern"
)

// An argument says what an operator takes.
type argument uint8

const (
	nothing argument = iota
	regex
	number
	words // what the operator itself reads
)

// String names it, with its article.
func (a argument) String() string {
	return [...]string{"nothing", "a regular expression", "a number", "a value"}[a]
}

// An operator is what stands behind a ~.
type operator struct {
	code  string
	takes argument
	says  string // what a flow is that matches, as in "url matches"

	is      func(*subject) bool                   // takes nothing
	search  func(*subject, *pattern.Pattern) bool // takes a regular expression,
	in      haystack                              // which is searched in this
	reads   func(arg string) (*test, error)       // takes a number, or words
	example string

	body bool // it reads bodies
	ours bool // mitmproxy has no such operator
}

// A haystack is what a regular expression is searched in.
type haystack uint8

const (
	inText   haystack = iota
	inNames           // no matter which case
	inNotes           // line by line
	inBytes           // where no letters are known beyond ASCII
	inMethod          // no matter which case
	inLines
	inBodies
)

// haystacks is a table of what expressions are compiled with.
var haystacks = [...]pattern.Options{
	inText:   {},
	inNames:  {IgnoreCase: true},
	inNotes:  {Multiline: true},
	inBytes:  {Bytes: true},
	inMethod: {Bytes: true, IgnoreCase: true},
	inLines:  {Bytes: true, Multiline: true},
	inBodies: {Bytes: true, DotAll: true},
}

// operators is the table of all of them.
var operators = []*operator{
	{code: "a", says: "is an asset", is: (*subject).asset},
	{code: "all", says: "is any", is: func(*subject) bool { return true }},
	{code: "dns", says: "is DNS", is: func(s *subject) bool { return s.dns() != nil }},
	{code: "e", says: "has an error", is: func(s *subject) bool { return s.Err != "" }},
	{code: "http", says: "is HTTP", is: (*subject).http},
	{code: "marked", says: "is marked", is: never},
	{code: "q", says: "has no response", is: func(s *subject) bool { return s.asks() && !s.answered() }},
	{code: "replay", says: "was replayed", is: never},
	{code: "replayq", says: "is a replayed request", is: never},
	{code: "replays", says: "has a replayed response", is: never},
	{code: "s", says: "has a response", is: func(s *subject) bool { return s.asks() && s.answered() }},
	{code: "tcp", says: "is TCP", is: func(s *subject) bool { return s.kind() == "tcp" }},
	{code: "udp", says: "is UDP", is: func(s *subject) bool { return s.kind() == "udp" }},
	{code: "websocket", says: "is WebSocket", is: (*subject).websocket},

	{code: "b", takes: regex, says: "body matches", search: both((*subject).searchBodies), in: inBodies, body: true, example: "password"},
	{code: "bq", takes: regex, says: "request body matches", search: (*subject).searchRequestBody, in: inBodies, body: true, example: "password"},
	{code: "bs", takes: regex, says: "response body matches", search: (*subject).searchResponseBody, in: inBodies, body: true, example: "error"},
	{code: "comment", takes: regex, says: "comment matches", search: empty, in: inNotes, example: "slow"},
	{code: "d", takes: regex, says: "domain matches", search: (*subject).domain, in: inNames, example: `example\.com$`},
	{code: "dst", takes: regex, says: "destination address matches", search: (*subject).destination, in: inText, example: ":443$"},
	{code: "h", takes: regex, says: "header matches", search: either(request, response, (*subject).header), in: inLines, example: "^set-cookie:"},
	{code: "hq", takes: regex, says: "request header matches", search: of(request, (*subject).header), in: inLines, example: "^cookie:"},
	{code: "hs", takes: regex, says: "response header matches", search: of(response, (*subject).header), in: inLines, example: "^set-cookie:"},
	{code: "m", takes: regex, says: "method matches", search: (*subject).method, in: inMethod, example: "post|put"},
	{code: "marker", takes: regex, says: "marker matches", search: empty, in: inText, example: "."},
	{code: "meta", takes: regex, says: "metadata matches", search: empty, in: inNotes, example: "."},
	{code: "src", takes: regex, says: "source address matches", search: (*subject).source, in: inText, example: `^192\.168\.7\.`},
	{code: "t", takes: regex, says: "content type matches", search: either(request, response, (*subject).contentType), in: inBytes, example: "json"},
	{code: "tq", takes: regex, says: "request content type matches", search: of(request, (*subject).contentType), in: inBytes, example: "json"},
	{code: "ts", takes: regex, says: "response content type matches", search: of(response, (*subject).contentType), in: inBytes, example: "json"},
	{code: "u", takes: regex, says: "url matches", search: (*subject).url, in: inText, example: "/api/"},

	{code: "c", takes: number, says: "response code is", reads: code, example: "404"},

	{code: "container", takes: regex, says: "container matches", search: process(func(p *flow.Process) string { return p.Container }), in: inText, ours: true, example: "web"},
	{code: "device", takes: regex, says: "device matches", search: (*subject).device, in: inText, ours: true, example: "^phone$"},
	{code: "dstnet", takes: words, says: "destination is in", reads: network(DestinationAddress, destinationAddress), ours: true, example: "203.0.113.0/24"},
	{code: "duration", takes: words, says: "duration is", reads: duration, ours: true, example: ">1s"},
	{code: "ja3", takes: regex, says: "the client's JA3 matches", search: hello(func(t *flow.TLS) string { return t.JA3 }), in: inText, ours: true, example: "^769,"},
	{code: "ja4", takes: regex, says: "the client's JA4 matches", search: hello(func(t *flow.TLS) string { return t.JA4 }), in: inText, ours: true, example: "^t13d"},
	{code: "name", takes: regex, says: "the destination's name matches", search: (*subject).name, in: inText, ours: true, example: `example\.com$`},
	{code: "process", takes: regex, says: "process matches", search: processNamed, in: inText, ours: true, example: "^curl$"},
	{code: "proto", takes: regex, says: "protocol matches", search: (*subject).protocol, in: inText, ours: true, example: "^h2$"},
	{code: "reason", takes: regex, says: "the reason for no decryption matches", search: (*subject).reason, in: inText, ours: true, example: "refused our certificate"},
	{code: "since", takes: words, says: "began at or after", reads: since, ours: true, example: "2026-01-31T15:04"},
	{code: "size", takes: words, says: "size is", reads: size(Size), ours: true, example: ">1m"},
	{code: "sizeq", takes: words, says: "size of the request is", reads: size(SizeToServer), ours: true, example: ">64k"},
	{code: "sizes", takes: words, says: "size of the response is", reads: size(SizeToClient), ours: true, example: ">64k"},
	{code: "sni", takes: regex, says: "SNI matches", search: hello(func(t *flow.TLS) string { return t.ServerName }), in: inText, ours: true, example: `example\.com$`},
	{code: "srcnet", takes: words, says: "source is in", reads: network(SourceAddress, sourceAddress), ours: true, example: "192.168.7.0/24"},
	{code: "status", takes: words, says: "response code is", reads: status, ours: true, example: "4xx,500-599"},
	{code: "tag", takes: regex, says: "tag matches", search: (*subject).tag, in: inText, ours: true, example: "."},
	{code: "tls", takes: words, says: "TLS version is", reads: version(ClientTLS, ServerTLS), ours: true, example: "<1.2"},
	{code: "tlsq", takes: words, says: "the client's TLS version is", reads: version(ClientTLS), ours: true, example: "<1.2"},
	{code: "tlss", takes: words, says: "the server's TLS version is", reads: version(ServerTLS), ours: true, example: "<1.2"},
	{code: "unit", takes: regex, says: "unit of systemd matches", search: process(func(p *flow.Process) string { return p.Unit }), in: inText, ours: true, example: `^ssh\.service$`},
	{code: "until", takes: words, says: "began before", reads: until, ours: true, example: "2026-01-31T15:04"},
	{code: "user", takes: regex, says: "user matches", search: process(func(p *flow.Process) string { return p.User }), in: inText, ours: true, example: "^alice$"},
	{code: "words", takes: words, says: "body has the words", reads: wordsOf, body: true, ours: true, example: "password"},
}

// named returns the operator with a name, or nil.
func named(code string) *operator {
	for _, op := range operators {
		if op.code == code {
			return op
		}
	}
	return nil
}

// meant says which operator somebody may have meant.
func meant(name string) string {
	lower := strings.ToLower(name)
	if named(lower) != nil {
		return "; names are in small letters: ~" + lower
	}
	var near []string
	for _, op := range operators {
		if len(name) > 1 && strings.HasPrefix(op.code, name) || len(op.code) > 2 && strings.HasPrefix(name, op.code) {
			near = append(near, "~"+op.code)
		}
	}
	if near != nil {
		slices.Sort(near)
		return "; there is " + strings.Join(near, ", ")
	}
	return "; docs/filter.md lists them. Quote a ~ that is part of a regular expression"
}

// never is what no flow is yet.
func never(*subject) bool { return false }

// empty searches what flows don't have yet, as mitmproxy does where they have none.
func empty(s *subject, p *pattern.Pattern) bool { return s.find(p, nil) }
