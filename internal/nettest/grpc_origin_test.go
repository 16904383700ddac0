package nettest_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A plainCodec has messages that are strings.
type plainCodec struct{}

func (plainCodec) Name() string                    { return "plain" }
func (plainCodec) Marshal(v any) ([]byte, error)   { return []byte(*v.(*string)), nil }
func (plainCodec) Unmarshal(b []byte, v any) error { *v.(*string) = string(b); return nil }

// A grpcStream is either side's end of a call.
type grpcStream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

func send(s grpcStream, text string) error { return s.SendMsg(&text) }

func receive(s grpcStream) (text string, err error) {
	err = s.RecvMsg(&text)
	return text, err
}

// A grpcServer is a server of gRPC.
type grpcServer struct {
	left  chan error // why calls of Wait ended
	pongs *output    // a byte for each answer to a ping, without TLS
}

// serveGRPC serves gRPC over TLS on port 443, or as h2c on port 80.
func (w *world) serveGRPC(g *grpcServer, kind string) {
	w.t.Helper()
	o := []grpc.ServerOption{
		grpc.ForceServerCodec(plainCodec{}), grpc.UnknownServiceHandler(g.serve), grpc.MaxRecvMsgSize(grpcMost),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Second, Timeout: patience}),
	}
	var l net.Listener
	if kind == "h2" {
		l = w.listen(443)
		o = append(o, grpc.Creds(credentials.NewTLS(w.tls())))
	} else {
		l = &pongListener{w.listen(80), g.pongs}
	}
	srv := grpc.NewServer(o...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Stop
	}()
	w.t.Cleanup(func() {
		srv.Stop()
		<-done
	})
}

// serve is all methods.
func (g *grpcServer) serve(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	switch strings.TrimPrefix(method, "/shop/") {
	case "Echo":
		return g.echo(s)
	case "Refuse":
		s.SetTrailer(metadata.Pairs("why", "closed on sundays"))
		return status.Error(codes.ResourceExhausted, "nothing left: 100 %\n")
	case "Count":
		for i := range 1000 {
			if err := send(s, fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	case "Sum":
		return g.sum(s)
	case "Talk":
		return g.talk(s)
	case "Abort":
		if err := send(s, "so far"); err != nil {
			return err
		}
		return status.Error(codes.Aborted, "that was it")
	case "Wait":
		err := send(s, "waiting")
		if err == nil {
			<-s.Context().Done()
			err = s.Context().Err()
		}
		g.left <- err
		return err
	}
	return status.Error(codes.Unimplemented, method)
}

func (g *grpcServer) echo(s grpc.ServerStream) error {
	text, err := receive(s)
	if err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(s.Context())
	s.SetTrailer(metadata.Pairs("last", "word"))
	if err := s.SetHeader(metadata.Pairs("asked", strings.Join(md["asking"], ","), "raw-bin", strings.Join(md["raw-bin"], ","))); err != nil {
		return err
	}
	return send(s, text)
}

func (g *grpcServer) sum(s grpc.ServerStream) error {
	for n := 0; ; {
		text, err := receive(s)
		if err == io.EOF {
			return send(s, fmt.Sprint(n))
		}
		if err != nil {
			return err
		}
		n += len(text)
	}
}

func (g *grpcServer) talk(s grpc.ServerStream) error {
	for said := "welcome"; ; {
		if err := send(s, said); err != nil {
			return err
		}
		text, err := receive(s)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		said = "you said " + text
	}
}

// A pongListener looks for answers to pings in what clients send.
type pongListener struct {
	net.Listener
	pongs io.Writer
}

func (l *pongListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &pongConn{Conn: c, pongs: l.pongs, skip: len(http2.ClientPreface)}, err
}

type pongConn struct {
	net.Conn
	pongs io.Writer
	skip  int // bytes before the next frame
	head  []byte
}

// Read implements net.Conn.
func (c *pongConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, b := range p[:n] {
		if c.skip > 0 {
			c.skip--
			continue
		}
		if c.head = append(c.head, b); len(c.head) < 9 {
			continue
		}
		if http2.FrameType(c.head[3]) == http2.FramePing && c.head[4] == byte(http2.FlagPingAck) {
			fmt.Fprint(c.pongs, "!")
		}
		c.skip, c.head = int(binary.BigEndian.Uint32(c.head)>>8), c.head[:0]
	}
	return n, err
}
