package nettest_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const grpcMost = 32 << 20 // bytes of a message

// TestGRPC has a stock gRPC client and server talk in every way they can.
func TestGRPC(t *testing.T) {
	for _, kind := range []string{"h2", "h2c"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			g := &grpcServer{left: make(chan error, 1), pongs: newOutput()}
			w.serveGRPC(g, kind)
			w.redirect("80,443")
			p := w.transom("--json")
			c := &grpcClient{world: w, server: g, ClientConn: w.dialGRPC(kind)}
			c.unary()
			c.refused()
			c.streams()
			c.talks()
			c.aborted()
			c.leaves(context.Canceled)
			c.leaves(context.DeadlineExceeded)
			c.large()
			if kind == "h2c" { // where frames can be seen
				c.idle()
			}
			c.Close()
			p.stop()
			for _, r := range p.records() {
				call := strings.TrimPrefix(r.Request.URL, map[string]string{"h2": "https", "h2c": "http"}[kind]+"://"+shop+"/shop/")
				left := r.Error != "" && call == "Wait" // unless the server knew before that time was up
				if r.Type != "http" || r.Request.HTTP != "HTTP/2.0" || r.Response.Status != 200 || (r.Error != "") != left {
					t.Errorf("%s: recorded %+v", call, r)
				}
			}
		})
	}
}

type grpcClient struct {
	*world
	*grpc.ClientConn
	server *grpcServer
}

func (c *grpcClient) unary() {
	var head, tail metadata.MD
	ctx := metadata.AppendToOutgoingContext(c.ctx, "asking", "one", "asking", "two", "raw-bin", "\x00\xff")
	ask, answer := "hello", ""
	err := c.Invoke(ctx, "/shop/Echo", &ask, &answer, grpc.Header(&head), grpc.Trailer(&tail))
	if err != nil || answer != "hello" {
		c.t.Errorf("unary: got %q, %v", answer, err)
	}
	if got := fmt.Sprintf("%q %q %q", head["asked"], head["raw-bin"], tail["last"]); got != `["one,two"] ["\x00\xff"] ["word"]` {
		c.t.Errorf("unary: metadata %s", got)
	}
}

// refused gets trailers alone.
func (c *grpcClient) refused() {
	var tail metadata.MD
	ask, answer := "hello", ""
	err := c.Invoke(c.ctx, "/shop/Refuse", &ask, &answer, grpc.Trailer(&tail))
	if s := status.Convert(err); s.Code() != codes.ResourceExhausted || s.Message() != "nothing left: 100 %\n" {
		c.t.Errorf("refused: %v", err)
	}
	if got := fmt.Sprint(tail["why"]); got != "[closed on sundays]" {
		c.t.Errorf("refused: metadata %v", tail)
	}
	if err := c.Invoke(c.ctx, "/shop/Nothing", &ask, &answer); status.Code(err) != codes.Unimplemented {
		c.t.Errorf("unknown: %v", err)
	}
}

// streams streams one way and then the other.
func (c *grpcClient) streams() {
	s := c.call(c.ctx, "Count")
	s.CloseSend()
	for i := range 1000 {
		if text, err := receive(s); text != fmt.Sprint(i) || err != nil {
			c.t.Fatalf("server streaming: got %q, %v, want %d", text, err, i)
		}
	}
	if text, err := receive(s); err != io.EOF {
		c.t.Errorf("server streaming: got %q, %v at the end", text, err)
	}
	s = c.call(c.ctx, "Sum")
	for range 1000 {
		if err := send(s, "abc"); err != nil {
			c.t.Fatalf("client streaming: %v", err)
		}
	}
	s.CloseSend()
	if text, err := receive(s); text != "3000" || err != nil {
		c.t.Errorf("client streaming: got %q, %v", text, err)
	}
}

// talks has both sides wait for each other's message before they send the next,
// which ends only if nothing between them does.
func (c *grpcClient) talks() {
	var wg sync.WaitGroup
	for i := range 50 {
		s := c.call(c.ctx, "Talk")
		wg.Go(func() {
			if text, err := receive(s); text != "welcome" || err != nil {
				c.t.Errorf("talk %d: got %q, %v at first", i, text, err)
				return
			}
			for j := range 20 {
				said := fmt.Sprint(i, j)
				if err := send(s, said); err != nil {
					c.t.Errorf("talk %d: %v", i, err)
					return
				}
				if text, err := receive(s); text != "you said "+said || err != nil {
					c.t.Errorf("talk %d: got %q, %v, having said %q", i, text, err, said)
					return
				}
			}
			s.CloseSend()
			if text, err := receive(s); err != io.EOF {
				c.t.Errorf("talk %d: got %q, %v at the end", i, text, err)
			}
		})
	}
	wg.Wait()
}

// aborted has the server end a call while the client may still send.
func (c *grpcClient) aborted() {
	s := c.call(c.ctx, "Abort")
	if text, err := receive(s); text != "so far" || err != nil {
		c.t.Errorf("aborted: got %q, %v", text, err)
	}
	if text, err := receive(s); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "that was it" {
		c.t.Errorf("aborted: got %q, %v", text, err)
	}
}

// leaves ends a call from the client's side; the server's is told.
func (c *grpcClient) leaves(why error) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	want := codes.Canceled
	if why == context.DeadlineExceeded {
		ctx, cancel = context.WithTimeout(c.ctx, 5*time.Second) // enough to begin
		defer cancel()
		want = codes.DeadlineExceeded
	}
	s := c.call(ctx, "Wait")
	if text, err := receive(s); text != "waiting" || err != nil {
		c.t.Errorf("%v: got %q, %v", why, text, err)
	}
	if why == context.Canceled {
		cancel()
	}
	if text, err := receive(s); status.Code(err) != want {
		c.t.Errorf("%v: got %q, %v", why, text, err)
	}
	// Its own clock may be the first to tell that there is no time left.
	if err := <-c.server.left; err != why && why != context.DeadlineExceeded {
		c.t.Errorf("the server's call was ended with %v, want %v", err, why)
	}
}

func (c *grpcClient) large() {
	b, err := io.ReadAll(newPattern(grpcMost - 1000))
	if err != nil {
		c.t.Fatal(err)
	}
	ask, answer := string(b), ""
	if err := c.Invoke(c.ctx, "/shop/Echo", &ask, &answer); err != nil || answer != ask {
		c.t.Errorf("large: got %d bytes, %v", len(answer), err)
	}
}

// idle waits for the answers to the server's keepalive pings, of which it sends
// one each second; it ends a connection on which one is not answered.
func (c *grpcClient) idle() {
	if !c.server.pongs.wait(c.t, func(s string) bool { return len(s) >= 2 }) {
		c.t.Error("nobody answers the server's pings")
	}
	c.unary()
}

func (c *grpcClient) call(ctx context.Context, method string) grpc.ClientStream {
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop/"+method)
	if err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	return s
}

func (w *world) dialGRPC(kind string) *grpc.ClientConn {
	w.t.Helper()
	creds, port := insecure.NewCredentials(), uint16(80)
	if kind == "h2" {
		creds, port = credentials.NewTLS(&tls.Config{RootCAs: pool(w.t, w.read(w.trusted())), ServerName: shop}), 443
	}
	conn, err := grpc.NewClient("passthrough:///"+shop, grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return w.Client.Dial(ctx, addrPort(families[0].addr, port))
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(plainCodec{}), grpc.MaxCallRecvMsgSize(grpcMost)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	return conn
}
