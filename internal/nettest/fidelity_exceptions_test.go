package nettest_test

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"sync"
)

// An exception is a difference that there may be, and why.
type exception struct {
	where          // patterns for path.Match; "" is all
	only  []string // the clients and scenarios it is for, or scenarios; nil is all
	line  string   // a regular expression for the line, its sign included
	why   string
}

// exceptions are all that there are.
var exceptions = []exception{
	{
		where: where{scheme: "https", side: "server"}, line: `^[-+] end: (close_notify, )?(FIN|RST)$`,
		only: []string{"close", "reconnect", "refuse", "requests sequential", "httpx sequential", "node-http sequential", "node-fetch sequential"},
		why:  "a client that closes behind the last response may have the server's close_notify unread, and then its kernel sends RST: a race without a proxy too",
	},
	{
		where: where{side: "server", scenario: "hints"}, line: `^[-+] end: (FIN|RST)$`,
		only: []string{"http.client hints", "urllib hints", "requests hints"},
		why:  "Python takes a 103 for the response and closes; whether it has the other response unread depends on segments, which are not kept",
	},
	{
		where: where{client: "go", scheme: "https", side: "server"}, line: `^[-+] end: (close_notify, )?FIN$`,
		why: "Go's client leaves close_notify out if it closes while its last write has not returned yet: a race without a proxy too",
	},
	{
		where: where{client: "node-*", scenario: "reset", side: "client"}, line: `ECONNRESET|UND_ERR_SOCKET|aborted`,
		why: "libuv takes a reset that it finds together with data for an end: a race without a proxy too",
	},
	{
		where: where{client: "curl", side: "server"}, line: `^[-+] RST_STREAM STREAM_CLOSED$`,
		why: "curl resets a stream that is complete but whose end it has not read yet: a race without a proxy too",
	},
	{
		where: where{client: "node-http2", side: "server", scenario: "finish"}, line: `^[-+] (end: (close_notify, )?FIN|GOAWAY .*)$`,
		why: "Node ends a session that the server has ended in two places, whichever comes first",
	},
	{
		where: where{client: "chromium", side: "server", http2: true}, line: `^[-+] +(HEADERS priority|:path: .page.meet|PRIORITY of |RST_STREAM CANCEL)`,
		why: "what Chromium asks for at once has no order, its priorities change as it lays out the page, and it cancels what is under way when it leaves: a race without a proxy too",
	},
	{
		where: where{scheme: "https", side: "server", http2: true}, line: `^[-+] end: (close_notify, )?FIN$`, only: []string{"finish", "cut", "hang-up"},
		why: "a server that ends first and a client that closes without close_notify: whose end is first on the second leg is a race",
	},
	{
		where: where{side: "server", http2: true}, line: `^[-+] (RST_STREAM .*|END_STREAM|GOAWAY .*|end: .*)$`, only: []string{"early", "flood", "stall", "destroyed"},
		why: "a client that leaves in the middle of a body: its last frames race with its end, without a proxy too, and its reset destroys what was not read",
	},
	{
		where: where{side: "client", http2: true}, only: []string{"abandon", "vanish", "reset"},
		why: "a reset destroys what the client has not read, and curl and Node drop what comes in one segment with it: how much is a race without a proxy too",
	},
	{
		where: where{http2: true}, only: []string{"go-away"},
		why: "GOAWAY with an error behind a response: curl and Node drop a response that comes in the same segment, and then ask again; segments are not kept",
	},
	{
		where: where{client: "by-hand", scheme: "https", side: "client", scenario: "half-closed"}, line: `^[-+] end: (close_notify|FIN)$`,
		why: "a client that has ended its side and has its response is not kept until the server ends too: it gets close_notify at once",
	},
}

// masks are what differs between any two visits.
var masks = []struct{ pattern, with, why string }{
	{`\[WARNING\] Certificate verification failed: [^\\]*\\n`, "", "nghttp can't be told whom to trust, and complains of any authority of ours"},
	{`192\.168\.1\.2:\d+`, "192.168.1.2:*", "the kernel picks a client's port"},
}

// masked returns a line without what differs between any two visits.
func masked(line string) string {
	for _, m := range masks {
		line = regexp.MustCompile(m.pattern).ReplaceAllString(line, m.with)
	}
	return line
}

// A where says where a difference is.
type where struct {
	client, scheme, scenario, side string
	http2                          bool
}

func (at where) seenBy(side string) where {
	at.side = side
	return at
}

func (at where) String() string {
	return fmt.Sprintf("%s, %s, %s: what the %s sees", at.client, at.scheme, at.scenario, at.side)
}

// excused returns the number of the exception for a line that differs, from 1;
// 0 if there is none.
func (at where) excused(line string) int {
	for i, e := range exceptions {
		if e.is(at) && regexp.MustCompile(e.line).MatchString(line) {
			return i + 1
		}
	}
	return 0
}

// is reports whether e is for what is at.
func (e exception) is(at where) bool {
	listed := e.only == nil || slices.Contains(e.only, at.scenario) || slices.Contains(e.only, at.client+" "+at.scenario)
	return listed && (at.http2 || !e.http2) && matches(e.client, at.client) && matches(e.scheme, at.scheme) &&
		matches(e.scenario, at.scenario) && matches(e.side, at.side)
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == "" || ok && err == nil
}

// results are the rows of tests that run beside each other.
type results struct {
	mu   sync.Mutex
	rows []row
}

func (rs *results) add(rows []row) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.rows = append(rs.rows, rows...)
}
