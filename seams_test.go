package transom_test

import (
	"bufio"
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"transom"
	"transom/exchange"
	"transom/flow"
	"transom/internal/testnet"
)

// The seams that much stands on, each held by one test from end to end:
//
//	original destination belongs to the host   capture, TestDestination
//	decide before the peek too                 TestDecisions
//	dial beside the peek                       TestServerThatSpeaksFirst, TestServerFailures
//	nouns are complete                         TestHTTPS, TestEndingsTravel, TestClientRefusesOurCertificate
//	bodies keep their source framing           TestChunkedBodiesKeepTheirFraming
//	HPACK's forms travel with the fields       TestFieldFormsTravel
//	a body's place is known while it streams   TestBodyIsReadableWhileItStreams
//	floors for what is to come                 TestHouse

// TestFieldFormsTravel: what HPACK is to make of a field goes through the chain
// and into the record, and makes no difference to a codec that has no use for it.
func TestFieldFormsTravel(t *testing.T) {
	secret := exchange.OnRequest(func(_ context.Context, r *exchange.Request) error {
		r.Header = append(r.Header[:len(r.Header):len(r.Header)], flow.Field{Name: "X-Key", Value: "k", Form: flow.FormNeverIndexed})
		return nil
	})
	inWorld(t, func(p *transom.Proxy) { p.HTTP = []exchange.Middleware{secret} }, func(w *world) {
		var o origin
		w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
		c := w.dial(serverAddr)
		w.say(c, untidy)
		w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		c.Close()
		d := w.only("http").Detail.(*flow.HTTP)
		if f := d.Request.Header[len(d.Request.Header)-1]; f.Name != "X-Key" || f.Form != flow.FormNeverIndexed {
			t.Errorf("recorded as %+v", f)
		}
		if heads := o.heads(); len(heads) != 1 || !strings.HasSuffix(heads[0], "\r\nX-Key: k\r\n\r\n") {
			t.Errorf("the server saw %q", heads)
		}
	})
}

func TestBodyIsReadableWhileItStreams(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			readHead(r)
			w.hear(r, "first second")
			w.say(c, "HTTP/1.1 204 No\r\n\r\n")
		})
		c := w.dial(serverAddr)
		w.say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nfirst ")
		synctest.Wait()
		f := w.only("http")
		ref := f.Detail.(*flow.HTTP).RequestBody
		if f.State != flow.Open || w.body(ref) != "first " {
			t.Errorf("while it streams: state %v, body %q", f.State, w.body(ref))
		}
		w.say(c, "second")
		w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		c.Close()
		if end := w.only("http").Detail.(*flow.HTTP).RequestBody; end.Segment != ref.Segment || end.Offset != ref.Offset || end.Size != 12 {
			t.Errorf("it lies at %+v, and lay at %+v", end, ref)
		}
	})
}

// TestMiddleware changes, answers and buffers, and both sides of what changed
// are on the record.
func TestMiddleware(t *testing.T) {
	change := func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
			if r.Target == "/mock" {
				return exchange.Text(418, "teapot"), nil
			}
			p, err := r.Body.Bytes(ctx, 100)
			if err != nil {
				return nil, err
			}
			r.Body.Set([]byte(strings.ToUpper(string(p))))
			r.Header.Set("X-Through", "transom")
			return next.Exchange(ctx, r)
		})
	}
	inWorld(t, func(p *transom.Proxy) { p.HTTP = []exchange.Middleware{change} }, func(w *world) {
		const sent = "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\nX-Through: transom\r\n\r\nHELLO"
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			w.hear(r, sent)
			w.say(c, "HTTP/1.1 204 No\r\n\r\n")
			r.ReadByte()
		})
		c := w.dial(serverAddr)
		w.say(c, "POST / HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nhello")
		w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		w.say(c, "GET /mock HTTP/1.1\r\nhost: a\r\n\r\n")
		w.hear(c, "HTTP/1.1 418 ")
		c.Close()
		fs := w.flows("http")
		if len(fs) != 2 {
			t.Fatalf("%d flows", len(fs))
		}
		d := fs[0].Detail.(*flow.HTTP)
		if d.Request.Target == "/mock" { // they are of one moment, in fake time
			d = fs[1].Detail.(*flow.HTTP)
		}
		if d.OriginalRequest == nil || d.OriginalRequest.Header.Get("X-Through") != "" || d.Request.Header.Get("X-Through") != "transom" {
			t.Errorf("the change is not on the record: %+v", d)
		}
		if d.OriginalRequestBody == nil || w.body(*d.OriginalRequestBody) != "hello" || w.body(d.RequestBody) != "HELLO" {
			t.Errorf("the bodies are not on the record: %+v", d)
		}
	})
}
