package transom_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"transom"
	"transom/flow"
	"transom/internal/testnet"
	"transom/message"
)

const (
	upgrade   = "GET /chat?a=1 HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLBmiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

// chat opens a WebSocket between a client and a server that the test plays.
func (w *world) chat() (client, server *testnet.Conn, hangUp func()) {
	w.t.Helper()
	accepted, done := make(chan *testnet.Conn, 1), make(chan struct{})
	w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			w.t.Error(err)
		}
		w.say(c, switching)
		accepted <- c
		<-done
	})
	client = w.dial(serverAddr)
	w.say(client, upgrade)
	w.hear(client, switching)
	return client, <-accepted, func() { close(done) }
}

// entries reads a conversation's log back, a line for each message.
func (w *world) entries(f *flow.Flow) string {
	w.t.Helper()
	var b strings.Builder
	for e, err := range message.ReadLog(strings.NewReader(w.body(f.Detail.(*flow.Messages).Log))) {
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %d %q", [...]string{">", "<"}[e.Dir], e.Op, e.Payload)
		if e.Injected {
			b.WriteString(" injected")
		}
		if e.Changed {
			b.WriteString(" changed")
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// TestWebSocket: what both sides say arrives as it was said, is recorded message
// by message, and ends alike.
func TestWebSocket(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, s, hangUp := w.chat()
		toServer := "\x01\x81abcd\x00" + "\x89\x80abcd" + "\x80\x82abcd\x09\x0a" + "\x88\x85abcd\x62\x8a\x01\x1d\x04"
		toClient := "\x81\x05hello" + "\x82\x7e\x00\x02\x00\xff" + "\x88\x02\x03\xe8"
		w.say(c, toServer)
		w.hear(s, toServer)
		synctest.Wait() // what went on is recorded after that
		w.say(s, toClient)
		w.hear(c, toClient)
		hangUp()
		if got, err := w.hearEnd(c); got != "" || err != nil {
			t.Errorf("then %q, %v", got, err)
		}
		c.Close()
		f, h := w.only("websocket"), w.only("http")
		d, began := f.Detail.(*flow.Messages), h.Detail.(*flow.HTTP)
		if d.Handshake != h.ID || began.Began != f.ID || d.Request.Target != "/chat?a=1" {
			t.Errorf("%s was begun by %s, which began %s", f.ID, d.Handshake, began.Began)
		}
		want := "> 9 \"\"\n> 1 \"ahh\"\n> 8 \"\\x03\\xe8bye\"\n< 1 \"hello\"\n< 2 \"\\x00\\xff\"\n< 8 \"\\x03\\xe8\"\n"
		if got := w.entries(f); got != want || d.Count != [2]int64{3, 3} || d.Bytes != [2]int64{8, 9} || f.State != flow.Done {
			t.Errorf("recorded %+v\n%s", d, got)
		}
		if f.Conn.Last().Proto != "ws" || len(d.Notes) != 1 { // a length that could be shorter
			t.Errorf("%+v, noted %q", f.Conn.Layers, d.Notes)
		}
	})
}

// TestWebSocketEnds: a reset in the middle of a message is one, and what had
// come of the message is recorded.
func TestWebSocketEnds(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, s, hangUp := w.chat()
		defer hangUp()
		w.say(s, "\x81\x05hel")
		w.hear(c, "\x81\x05hel")
		s.SetLinger(0)
		s.Close()
		if _, err := w.hearEnd(c); err == nil {
			t.Error("the reset became a FIN")
		}
		f := w.only("websocket")
		d := f.Detail.(*flow.Messages)
		if f.Err != "server reset the connection" || w.entries(f) != "< 1 \"hel\"\n" || len(d.Notes) != 1 {
			t.Errorf("%+v, %+v", f, d)
		}
	})
}

func TestInject(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, s, hangUp := w.chat()
		id, http := w.only("websocket").ID, w.only("http").ID
		hi := message.Message{Dir: message.ToClient, Op: 1, Payload: []byte("hi")}
		w.say(s, "\x01\x01a")
		w.hear(c, "\x01\x01a")
		injected := make(chan error, 1)
		go func() { injected <- w.proxy.Inject(w.t.Context(), id, hi) }()
		synctest.Wait()
		w.say(s, "\x80\x01b\x81\x01c")
		w.hear(c, "\x80\x01b\x81\x02hi\x81\x01c")
		if err := <-injected; err != nil {
			t.Error(err)
		}
		for _, tc := range []struct {
			id   flow.ID
			m    message.Message
			want error
		}{
			{flow.NewID(time.Now()), hi, message.ErrUnknown},
			{http, hi, message.ErrOpaque},
			{id, message.Message{Op: 5}, message.ErrInvalid},
		} {
			if err := w.proxy.Inject(w.t.Context(), tc.id, tc.m); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		}
		hangUp()
		w.hearEnd(c)
		c.Close()
		if got, want := w.entries(w.only("websocket")), "< 1 \"ab\"\n< 1 \"hi\" injected\n< 1 \"c\"\n"; got != want {
			t.Errorf("recorded\n%s", got)
		}
		if err := w.proxy.Inject(w.t.Context(), id, hi); !errors.Is(err, message.ErrEnded) {
			t.Error(err)
		}
	})
}

// TestInjectIntoBytes: any stream that is relayed as messages takes some.
func TestInjectIntoBytes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		done := make(chan struct{})
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			w.say(c, "220 hello\r\n")
			w.hear(r, "EHLO\r\nQUIT\r\n")
			<-done
		})
		c := w.dial(serverAddr)
		w.hear(c, "220 hello\r\n")
		w.say(c, "EHLO\r\n")
		synctest.Wait()
		id := w.only("tcp").ID
		if err := w.proxy.Inject(w.t.Context(), id, message.Message{Op: 1}); !errors.Is(err, message.ErrInvalid) {
			t.Error(err)
		}
		for _, m := range []message.Message{{Payload: []byte("QUIT\r\n")}, {Dir: message.ToClient, Payload: []byte("250 hello\r\n")}} {
			if err := w.proxy.Inject(w.t.Context(), id, m); err != nil {
				t.Error(err)
			}
		}
		w.hear(c, "250 hello\r\n")
		close(done)
		w.hearEnd(c)
		c.Close()
		want := "< 0 \"220 hello\\r\\n\"\n> 0 \"EHLO\\r\\n\"\n> 0 \"QUIT\\r\\n\" injected\n< 0 \"250 hello\\r\\n\" injected\n"
		if got := w.entries(w.only("tcp")); got != want {
			t.Errorf("recorded\n%s", got)
		}
		if err := w.proxy.Inject(w.t.Context(), id, message.Message{}); !errors.Is(err, message.ErrEnded) {
			t.Error(err)
		}
	})
}

// shouting makes some of what a client says loud.
func shouting(next message.Handler) message.Handler {
	n := 0
	return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, m *message.Message) error {
		if m.Dir == message.ToServer && m.Op == 1 {
			if n++; n%3 == 0 {
				m.Payload = bytes.ToUpper(m.Payload)
			}
		}
		return next.Message(ctx, c, m)
	})
}

// TestWebSocketLibrary has a library that knows nothing of us talk to itself
// through the proxy, in all the ways it can compress.
func TestWebSocketLibrary(t *testing.T) {
	modes := map[string]websocket.CompressionMode{
		"plain": websocket.CompressionDisabled, "takeover": websocket.CompressionContextTakeover, "no-takeover": websocket.CompressionNoContextTakeover,
	}
	for name, mode := range modes {
		for _, handled := range []bool{false, true} {
			for _, secure := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s-handled-%v-tls-%v", name, handled, secure), func(t *testing.T) {
					servers := newPKI(t)
					inWorld(t, func(p *transom.Proxy) {
						p.UpstreamRoots = servers.roots
						if handled {
							p.Messages = []message.Middleware{shouting}
						}
					}, func(w *world) { w.library(mode, handled, secure, servers) })
				})
			}
		}
	}
}

// library has a client say things to a server that says them again.
func (w *world) library(mode websocket.CompressionMode, handled, secure bool, servers *pki) {
	t, addr, url := w.t, serverAddr, "ws://shop.test/chat"
	if secure {
		addr, url = secureAddr, "wss://shop.test/chat"
	}
	ended := make(chan error, 1)
	web := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			ended <- err
			return
		}
		ended <- parrot(t.Context(), c)
	})}
	listener := net.Listener(w.net.Listen(addr))
	if secure {
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}})
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()

	dial := &http.Transport{
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return w.dial(addr), nil },
		TLSClientConfig: &tls.Config{RootCAs: w.roots},
	}
	c, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: dial}, CompressionMode: mode, CompressionThreshold: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	for i := range 60 {
		said := strings.Repeat(fmt.Sprintf("message %d, ", i), 1+i*i)
		if err := c.Write(t.Context(), websocket.MessageText, []byte(said)); err != nil {
			t.Fatal(err)
		}
		if handled && i%3 == 2 {
			said = strings.ToUpper(said)
		}
		if _, got, err := c.Read(t.Context()); err != nil || string(got) != said {
			t.Fatalf("message %d: %d octets, %v; want %d", i, len(got), err, len(said))
		}
	}
	if err := c.Close(4000, "enough"); err != nil {
		t.Error(err)
	}
	var code websocket.CloseError
	if err := <-ended; !errors.As(err, &code) || code.Code != 4000 || code.Reason != "enough" {
		t.Errorf("the server's end: %v", err)
	}
	web.Close()
	<-served
	dial.CloseIdleConnections()
	d := w.only("websocket").Detail.(*flow.Messages)
	if d.Count != [2]int64{61, 61} || d.Bytes[0] != d.Bytes[1] || len(d.Notes) != 0 {
		t.Errorf("%+v", d)
	}
}

// parrot says again what it hears.
func parrot(ctx context.Context, c *websocket.Conn) error {
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, r, err := c.Reader(ctx)
		if err != nil {
			return err
		}
		w, err := c.Writer(ctx, kind)
		if err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
}
