package h2_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
)

// TestManyStreamsToASlowReader: hundreds of responses come at once to a client
// that has given all the window there is and reads late. It gets them all.
func TestManyStreamsToASlowReader(t *testing.T) {
	for name, answer := range map[string]func() *exchange.Response{
		"bodies": func() *exchange.Response { return rfcAnswer(strings.Repeat("x", 32<<10)) },
		"heads": func() *exchange.Response {
			r := rfcAnswer("x")
			r.Header = append(r.Header, flow.Field{Name: "large", Value: strings.Repeat("~", 16<<10), Form: flow.FormLiteral})
			return r
		},
		"trailers": func() *exchange.Response {
			trailer := flow.Header{{Name: "large", Value: strings.Repeat("~", 16<<10), Form: flow.FormLiteral}}
			return &exchange.Response{
				ResponseHead: flow.ResponseHead{Status: 200},
				Body:         exchange.NewBody(&rfcSource{Reader: strings.NewReader("x"), trailer: trailer}, -1, nil),
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const streams = 400
				begin := make(chan struct{})
				behind := newClient(t, h2.ClientOptions{Mirror: true})
				defer behind.finish()
				behind.server.settings()
				w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
					<-begin
					return answer(), nil
				}, h2.Options{Upstream: behind.up}, initialWindow(1<<30))
				defer w.finish()
				w.client.window(0, 1<<30)
				for i := range uint32(streams) {
					get(1 + 2*i)(w.client)
				}
				w.client.settle()
				w.client.hold()
				close(begin)
				synctest.Wait()
				w.client.stop()
				w.client.settle()
				for i := range uint32(streams) {
					if s := w.client.stream(1 + 2*i); !strings.HasSuffix(s, "|END") {
						t.Fatalf("on stream %d came %.40q; end %v, Serve %v", 1+2*i, s, w.client.end, w.err)
					}
				}
			})
		})
	}
}

// TestManyStreamsToASlowServer is the same the other way.
func TestManyStreamsToASlowServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const streams = 400
		w := greetClient(t, h2.ClientOptions{}, initialWindow(1<<30))
		defer w.finish()
		w.server.window(0, 1<<30)
		w.server.settle()
		w.server.hold()
		large := flow.Field{Name: "large", Value: strings.Repeat("~", 16<<10), Form: flow.FormLiteral}
		var calls []*rfcCall
		for range streams {
			calls = append(calls, w.ask(rfcAsk("POST", strings.NewReader(strings.Repeat("x", 32<<10)), large)))
		}
		synctest.Wait()
		w.server.stop()
		w.server.settle()
		for i := range uint32(streams) {
			w.server.head(1+2*i, true, ":status=204")
		}
		w.server.settle()
		for i, c := range calls {
			if got := c.said(); got != "204|END" {
				t.Fatalf("response %d is %.80q", i, got)
			}
		}
	})
}
