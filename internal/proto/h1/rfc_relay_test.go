package h1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h1"
	"transom/internal/testnet"
)

var (
	rfcPhone = netip.MustParseAddrPort("10.0.0.2:50000")
	rfcGate  = netip.MustParseAddrPort("192.0.2.1:40000")
	rfcSite  = netip.MustParseAddrPort("203.0.113.7:80")
)

// An rfcSetup says how a relay differs from the plain one.
type rfcSetup struct {
	segment int // the most that one Read of the codec returns; 0 is no bound
	prefix  string
	stalled bool // the origin reads nothing
	options h1.Options
	client  h1.ClientOptions
	between exchange.Middleware // what lies between server and client
}

// An rfcT is what a testing.T and a rapid.T have in common.
type rfcT interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// An rfcRelay is the codec between two ends in memory: a client's connection
// served by an h1.Server whose handler is an h1.Client on the origin's
// connection. All that reaches either end is collected. It lives in a bubble.
type rfcRelay struct {
	t              rfcT
	client, origin *testnet.Conn // the outer ends
	server         *h1.Server
	upstream       *h1.Client
	atClient       rfcTap
	atOrigin       rfcTap
	cancel         context.CancelCauseFunc

	// Written by the serving goroutine, read after synctest.Wait.
	refused []rfcRefusal
	seen    []flow.RequestHead // what the handler was given

	mu   sync.Mutex
	done bool
	err  error // what Serve returned, once done
}

type rfcRefusal struct {
	raw    string
	status int
	err    error
}

func newRFCRelay(t rfcT, s rfcSetup) *rfcRelay {
	r := &rfcRelay{t: t}
	var accepted, dialled *testnet.Conn
	r.client, accepted = testnet.Pipe(rfcPhone, rfcSite)
	dialled, r.origin = testnet.Pipe(rfcGate, rfcSite)
	accepted.SetSegment(s.segment)
	dialled.SetSegment(s.segment)

	s.options.Refused = func(raw []byte, status int, err error) {
		r.refused = append(r.refused, rfcRefusal{string(raw), status, err})
	}
	if s.options.Scheme == "" {
		s.options.Scheme = "http"
	}
	if s.options.Info == nil {
		s.options.Info = &flow.Conn{Network: "tcp", Client: rfcPhone, Dst: rfcSite}
	}
	if s.between == nil {
		s.between = exchange.Chain()
	}
	r.upstream = h1.NewClient(dialled, s.client)
	next := s.between(r.upstream)
	r.server = h1.NewServer(accepted, []byte(s.prefix), exchange.HandlerFunc(
		func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			head := req.RequestHead
			head.Raw = append([]byte(nil), head.Raw...)
			r.seen = append(r.seen, head)
			return next.Exchange(ctx, req)
		}), s.options)

	ctx, cancel := context.WithCancelCause(context.Background())
	r.cancel = cancel
	go func() {
		err := r.server.Serve(ctx)
		// As whoever owns the connections does once an h1 session is over.
		r.upstream.Close()
		dialled.Close()
		if !errors.Is(err, h1.ErrHandOver) {
			accepted.Close()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err, r.done = err, true
	}()
	go r.atClient.collect(r.client)
	if !s.stalled {
		go r.atOrigin.collect(r.origin)
	}
	return r
}

// over reports whether Serve has returned.
func (r *rfcRelay) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done
}

// An rfcTap collects what arrives at one end.
type rfcTap struct {
	mu  sync.Mutex
	got []byte
	end error // nil while more may come
}

func (p *rfcTap) collect(c *testnet.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		p.mu.Lock()
		p.got = append(p.got, buf[:n]...)
		p.end = err
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// settled returns what has arrived once nothing moves any more.
func (p *rfcTap) settled() (got string, end error) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.got), p.end
}

// ask sends s from the client, answer from the origin. What can't be written
// because the other side has ended shows in what arrives.
func (r *rfcRelay) ask(s string)    { _, _ = r.client.Write([]byte(s)) }
func (r *rfcRelay) answer(s string) { _, _ = r.origin.Write([]byte(s)) }

func (r *rfcRelay) wantOrigin(want string) {
	r.t.Helper()
	if got, _ := r.atOrigin.settled(); got != want {
		r.t.Fatalf("the origin received\n  %s\nwant\n  %s%s", rfcShow(got), rfcShow(want), r.state())
	}
}

func (r *rfcRelay) wantClient(want string) {
	r.t.Helper()
	if got, _ := r.atClient.settled(); got != want {
		r.t.Fatalf("the client received\n  %s\nwant\n  %s%s", rfcShow(got), rfcShow(want), r.state())
	}
}

// wantServing checks that the client's connection still waits for requests.
func (r *rfcRelay) wantServing() {
	r.t.Helper()
	if synctest.Wait(); r.over() {
		r.t.Fatalf("the connection ended: it is persistent%s", r.state())
	}
}

// wantEnded checks that Serve has returned, and the client was told.
func (r *rfcRelay) wantEnded() {
	r.t.Helper()
	_, end := r.atClient.settled()
	if !r.over() {
		r.t.Fatalf("Serve goes on: the connection must end%s", r.state())
	}
	if end == nil {
		r.t.Fatalf("the client's connection is still open%s", r.state())
	}
}

func (r *rfcRelay) wantErr(failed bool) {
	r.t.Helper()
	if synctest.Wait(); failed != (r.err != nil) {
		r.t.Errorf("Serve returned %v, want an error: %v", r.err, failed)
	}
}

// finish ends both ends, after which Serve must return.
func (r *rfcRelay) finish() {
	r.t.Helper()
	r.client.Close()
	r.origin.Close()
	if synctest.Wait(); !r.over() {
		r.t.Error("Serve goes on after both ends have gone")
		r.cancel(errors.New("test is over"))
		synctest.Wait()
	}
	r.cancel(nil)
}

// state tells what else is known, for failures.
func (r *rfcRelay) state() string {
	s := fmt.Sprintf("\nServe returned: %v (%v)", r.over(), r.err)
	for _, f := range r.refused {
		s += fmt.Sprintf("\nrefused with %d: %v", f.status, f.err)
	}
	return s
}

// rfcShow quotes s, without the middle of a long one.
func rfcShow(s string) string {
	const most = 600
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q … %q (%d bytes)", s[:most/2], s[len(s)-most/2:], len(s))
}

// rfcPlay runs a script over r. Each line begins with who sends, ">" for the
// client and "<" for the origin; the rest is sent as it is, "|" is FIN. After
// each line all that was sent so far must have arrived, byte for byte, unless
// lazy: then only after the last. drip sends one byte at a time and lets the
// codec chew on each.
func rfcPlay(r *rfcRelay, script []string, drip, lazy bool) {
	r.t.Helper()
	var asked, answered string
	for _, line := range script {
		who, text := line[0], line[1:]
		c, all := r.client, &asked
		if who == '<' {
			c, all = r.origin, &answered
		}
		if text == "|" {
			_ = c.CloseWrite()
			continue
		}
		*all += text
		pieces := []string{text}
		if drip {
			pieces = strings.Split(text, "")
		}
		for _, p := range pieces {
			_, _ = io.WriteString(c, p)
			if drip {
				synctest.Wait()
			}
		}
		if synctest.Wait(); !lazy {
			r.wantOrigin(asked)
			r.wantClient(answered)
		}
	}
	r.wantOrigin(asked)
	r.wantClient(answered)
}

// rfcModes are the ways the same bytes may come in.
var rfcModes = []struct {
	name    string
	segment int
	drip    bool
}{
	{"whole", 0, false},
	{"one-byte-reads", 1, false},
	{"three-byte-reads", 3, false},
	{"one-byte-writes", 0, true},
}

// rfcHost is the head of most requests, less the request line.
const rfcHost = "Host: a.example\r\n"

const (
	rfcGet = "GET / HTTP/1.1\r\n" + rfcHost + "\r\n"
	rfcOK  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

func rfcItoa(n int) string { return strconv.Itoa(n) }
