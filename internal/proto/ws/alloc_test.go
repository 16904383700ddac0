package ws_test

import (
	"io"
	"strings"
	"testing"

	"transom/flow"
	"transom/internal/proto/ws"
	"transom/message"
)

// counting is a recorder that costs nothing.
type counting struct{ n int }

func (c *counting) Message(message.Entry) { c.n++ }
func (c *counting) Note(string)           {}

// A load is messages as one peer sends them, cut as reads cut them.
type load struct {
	name string
	ext  string
	dir  message.Direction
	// stream is whole messages that can be sent again and again.
	stream []byte
	n      int // messages
	piece  int
}

// A price is a typical message.
const price = `{"type":"ticker","product":"BTC-USD","price":"67123.45","size":"0.0123","side":"buy","seq":81234567}`

func loads() []load {
	repeat := func(s string) []byte { return []byte(strings.Repeat(s, 100)) }
	packed := newPacker(6, false).pack(price)
	half := len(price) / 2
	return []load{
		{"to-client", "", down, repeat(fromServer(0x81, price)), 100, 32 << 10},
		{"to-server", "", up, repeat(fromClient(0x81, price)), 100, 32 << 10},
		{"fragments", "", up, repeat(fromClient(0x01, price[:half]) + fromClient(0x80, price[half:])), 100, 32 << 10},
		{"cut", "", up, repeat(fromClient(0x81, price)), 100, 37},
		{"compressed", "permessage-deflate", down, repeat(fromServer(0xc1, packed)), 100, 32 << 10},
		{"compressed-to-server", "permessage-deflate", up, repeat(fromClient(0xc1, packed)), 100, 32 << 10},
		{"64KiB", "", down, []byte(strings.Repeat(fromServer(0x82, strings.Repeat(price, 650)), 10)), 10, 32 << 10},
	}
}

func (l *load) conversation(o ws.Options) *ws.Conversation {
	o.Response = flow.Header{{Name: "Sec-WebSocket-Extensions", Value: l.ext}}
	o.Record = &counting{}
	return ws.New(io.Discard, io.Discard, o)
}

func (l *load) pass(t testing.TB, c *ws.Conversation) {
	for p := l.stream; len(p) > 0; {
		n := min(l.piece, len(p))
		if err := c.Pass(t.Context(), l.dir, p[:n]); err != nil {
			t.Fatal(err)
		}
		p = p[n:]
	}
}

func TestAllocations(t *testing.T) {
	for _, l := range loads() {
		c := l.conversation(ws.Options{})
		if n := testing.AllocsPerRun(20, func() { l.pass(t, c) }); n >= 1 && !racing {
			t.Errorf("%s: %v allocations for %d messages", l.name, n, l.n)
		}
		c = l.conversation(ws.Options{Handlers: same})
		if n := testing.AllocsPerRun(20, func() { l.pass(t, c) }) / float64(l.n); n > 2 && l.name != "64KiB" && !racing {
			t.Errorf("%s: %v allocations for a message that is handled", l.name, n)
		}
	}
}

// BenchmarkRelay is for 100 messages, 10 of 64 KiB.
func BenchmarkRelay(b *testing.B) {
	for _, handled := range []bool{false, true} {
		for _, l := range loads() {
			name, o := l.name, ws.Options{}
			if handled {
				name, o.Handlers = name+"-handled", same
			}
			b.Run(name, func(b *testing.B) {
				c := l.conversation(o)
				b.ReportAllocs()
				b.SetBytes(int64(len(l.stream)))
				for b.Loop() {
					l.pass(b, c)
				}
				b.ReportMetric(float64(l.n)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

// BenchmarkChanged is for 100 compressed messages that are changed.
func BenchmarkChanged(b *testing.B) {
	l := loads()[5]
	packed := newPacker(6, false).pack("change")
	l.stream = []byte(strings.Repeat(fromClient(0xc1, packed), 100))
	c := l.conversation(ws.Options{Handlers: reply})
	b.ReportAllocs()
	for b.Loop() {
		l.pass(b, c)
	}
}
