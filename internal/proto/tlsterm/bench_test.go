package tlsterm_test

import (
	"context"
	"crypto/tls"
	"testing"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

// BenchmarkHandshake is one new connection: both ends of both legs.
func BenchmarkHandshake(b *testing.B) {
	classic := func(w *world) { w.client.CurvePreferences = []tls.CurveID{tls.X25519} }
	cases := map[string]struct {
		change  func(w *world)
		resumed bool
	}{
		"tls13-pq":         {func(*world) {}, false},
		"tls13-pq-resumed": {func(*world) {}, true},
		"tls13":            {classic, false},
		"tls13-resumed":    {classic, true},
		"tls13-early":      {func(w *world) { classic(w); w.early = true }, false},
		"tls12":            {func(w *world) { w.client.MaxVersion = tls.VersionTLS12 }, false},
		"tls12-resumed":    {func(w *world) { w.client.MaxVersion = tls.VersionTLS12 }, true},
	}
	for name, c := range cases {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			c.change(w)
			if c.resumed {
				w.all = tlsterm.NewSessions(tlsterm.SessionsOptions{})
				w.client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
				w.run(b).ok(b)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := w.run(b)
				if r.ok(b); r.up.Resumed != c.resumed || r.down.Resumed != c.resumed {
					b.Fatal("resumed", r.up.Resumed, r.down.Resumed)
				}
			}
		})
	}
}

// BenchmarkLeg is one of our legs alone, with the peer at its other end: what
// resuming saves there.
func BenchmarkLeg(b *testing.B) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, resumed := range map[string]bool{"full": false, "resumed": true} {
			b.Run("server/"+tls.VersionName(version)+"/"+name, func(b *testing.B) { benchServerLeg(b, version, resumed) })
			b.Run("client/"+tls.VersionName(version)+"/"+name, func(b *testing.B) { benchClientLeg(b, version, resumed) })
		}
	}
}

// visited is a world whose client has been there.
func visited(b *testing.B, version uint16) *world {
	w := newWorld(b)
	w.client.CurvePreferences = []tls.CurveID{tls.X25519}
	w.client.MinVersion, w.client.MaxVersion = version, version
	w.client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	w.all = tlsterm.NewSessions(tlsterm.SessionsOptions{})
	w.run(b).ok(b)
	return w
}

// comesBack is the hello with which it comes back.
func comesBack(b *testing.B, w *world) *sniff.Hello {
	near, us := testnet.Pipe(clientAddr, serverAddr)
	done := make(chan struct{})
	go func() { defer close(done); tls.Client(near, w.client).Handshake() }()
	_, hello := peek(b, us)
	us.Close()
	<-done
	return hello
}

func benchServerLeg(b *testing.B, version uint16, resumed bool) {
	w := visited(b, version)
	hello, all := comesBack(b, w), w.all
	if !resumed {
		all = nil
	}
	b.ReportAllocs()
	for b.Loop() {
		us, server := testnet.Pipe(clientAddr, serverAddr)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tls.Server(server, w.server).Write([]byte("x")) // with the next ticket
		}()
		line := all.Of(clientAddr.Addr(), serverAddr.String(), hello)
		c, leg, err := tlsterm.Connect(context.Background(), us, hello, tlsterm.ConnectOptions{Roots: w.roots, Speak: w.speak, Lineage: line})
		if err != nil || leg.Resumed != resumed {
			b.Fatal(leg, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			b.Fatal(err)
		}
		us.Close()
		<-done
	}
}

func benchClientLeg(b *testing.B, version uint16, resumed bool) {
	w := visited(b, version)
	up := w.run(b)
	up.ok(b)
	if !resumed {
		w.client.ClientSessionCache = nil
	}
	b.ReportAllocs()
	for b.Loop() {
		near, us := testnet.Pipe(clientAddr, serverAddr)
		done := make(chan struct{})
		go func() {
			defer close(done)
			tls.Client(near, w.client).Read(make([]byte, 1)) // with the next ticket
		}()
		prefix, hello := peek(b, us)
		c, leg, err := tlsterm.Accept(context.Background(), us, prefix, hello, tlsterm.Options{
			Issuer: ours(), Dst: serverAddr.Addr(), Server: up.up, Like: up.upConn.PeerCertificate(),
			Lineage: w.all.Of(clientAddr.Addr(), serverAddr.String(), hello),
		})
		if err != nil || leg.Resumed != resumed {
			b.Fatal(leg, err)
		}
		if _, err := c.Write([]byte("x")); err != nil {
			b.Fatal(err)
		}
		<-done
		us.Close()
	}
}

func BenchmarkAnswerable(b *testing.B) {
	stream := realHello(b)
	hello := sniff.Stream(stream).Hello
	b.ReportAllocs()
	for b.Loop() {
		if err := tlsterm.Answerable(stream, hello); err != nil {
			b.Fatal(err)
		}
	}
}
