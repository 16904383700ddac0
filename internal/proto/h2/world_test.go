package h2_test

import (
	"context"
	"net/netip"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// An rfcT is a *testing.T, *testing.F or *rapid.T.
type rfcT interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// An rfcServer is a raw client before a Server.
type rfcServer struct {
	t      rfcT
	client *rfcPeer
	near   *testnet.Conn // the Server's
	srv    *h2.Server

	refused []error
	err     error // of Serve
	over    bool
}

// newServer starts a Server for a client that has said nothing yet. Everything
// runs in a synctest bubble, and what goroutines have written is looked at
// after synctest.Wait.
func newServer(t rfcT, h exchange.HandlerFunc, o h2.Options) *rfcServer {
	w := &rfcServer{t: t}
	if o.Refused == nil {
		o.Refused = func(_ *flow.RequestHead, _ int, err error) { w.refused = append(w.refused, err) }
	}
	client, near := rfcPipe()
	w.near, w.client = near, newPeer(t, client, false)
	w.srv = h2.NewServer(near, nil, h, o)
	go func() {
		w.err = w.srv.Serve(context.Background())
		w.over = true
		near.Close()
	}()
	return w
}

// greetServer is newServer and the handshake.
func greetServer(t rfcT, h exchange.HandlerFunc, o h2.Options, s ...http2.Setting) *rfcServer {
	w := newServer(t, h, o)
	w.client.preface(s...)
	w.client.settle()
	return w
}

// finish ends what runs.
func (w *rfcServer) finish() {
	w.client.c.Close()
	w.client.stop()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if !w.over {
		w.t.Errorf("ten minutes after the client closed, Serve goes on")
		w.near.Close()
	}
}

// An rfcClient is a raw server behind a Client.
type rfcClient struct {
	t      rfcT
	server *rfcPeer
	far    *testnet.Conn // the Client's
	up     *h2.Client
}

func newClient(t rfcT, o h2.ClientOptions) *rfcClient {
	far, server := rfcPipe()
	return &rfcClient{t: t, far: far, server: newPeer(t, server, true), up: h2.NewClient(far, nil, o)}
}

// greetClient is newClient and the server's SETTINGS.
func greetClient(t rfcT, o h2.ClientOptions, s ...http2.Setting) *rfcClient {
	w := newClient(t, o)
	w.server.settings(s...)
	w.server.settle()
	return w
}

func (w *rfcClient) finish() {
	w.up.Close()
	w.server.c.Close()
	w.server.stop()
}

// An rfcJoin is a raw client and a raw server with us between.
type rfcJoin struct {
	*rfcServer
	server *rfcPeer
	up     *h2.Client
}

func newJoin(t rfcT, change func(*h2.Options, *h2.ClientOptions)) *rfcJoin {
	o, co := h2.Options{}, h2.ClientOptions{Mirror: true}
	if change != nil {
		change(&o, &co)
	}
	far, server := rfcPipe()
	w := &rfcJoin{server: newPeer(t, server, true), up: h2.NewClient(far, nil, co)}
	o.Upstream = w.up
	w.rfcServer = newServer(t, w.up.Exchange, o)
	return w
}

// greetJoin has both ends say their first words.
func greetJoin(t rfcT, s ...http2.Setting) *rfcJoin {
	w := newJoin(t, nil)
	w.server.settings(s...)
	w.client.preface(s...)
	w.settle()
	return w
}

// settle lets everything happen that will without further words.
func (w *rfcJoin) settle() {
	for range 4 {
		w.client.settle()
		w.server.settle()
	}
}

func (w *rfcJoin) finish() {
	w.client.c.Close()
	time.Sleep(time.Second)
	w.up.Close()
	w.server.c.Close()
	w.server.stop()
	w.rfcServer.finish()
}

func rfcPipe() (dialled, accepted *testnet.Conn) {
	return testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1024"), netip.MustParseAddrPort("203.0.113.1:443"))
}
