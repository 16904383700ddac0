package tlsterm_test

import (
	"crypto/tls"
	"testing"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
)

// BenchmarkHandshake is one new connection in full: both ends of both legs.
func BenchmarkHandshake(b *testing.B) {
	cases := map[string]func(w *world){
		"tls13-pq": func(*world) {},
		"tls13":    func(w *world) { w.client.CurvePreferences = []tls.CurveID{tls.X25519} },
		"tls12":    func(w *world) { w.client.MaxVersion = tls.VersionTLS12 },
	}
	for name, change := range cases {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b)
			change(w)
			b.ReportAllocs()
			for b.Loop() {
				r := w.run(b)
				if r.clientErr != nil || r.downErr != nil || r.upErr != nil {
					b.Fatal(r.clientErr, r.downErr, r.upErr)
				}
			}
		})
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
