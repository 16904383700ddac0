package ws_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"transom/flow"
	"transom/internal/proto/ws"
	"transom/message"
)

var extensions = []string{"", "permessage-deflate", "permessage-deflate; client_no_context_takeover", "mux"}

// frames draws a stream, right or wrong.
func frames(t *rapid.T) string {
	var b strings.Builder
	for range rapid.IntRange(0, 8).Draw(t, "frames") {
		f := frame{
			first:  rapid.SampledFrom([]byte{0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0xc1, 0x41, 0xc2, 0x83, 0xff}).Draw(t, "first"),
			masked: rapid.Bool().Draw(t, "masked"),
		}
		switch rapid.IntRange(0, 2).Draw(t, "payload") {
		case 0:
			f.payload = rapid.StringN(0, 200, -1).Draw(t, "text")
		case 1:
			f.payload = newPacker(6, false).pack(strings.Repeat("abc", rapid.IntRange(0, 3000).Draw(t, "times")))
		}
		b.WriteString(f.String())
	}
	return b.String()
}

// cut draws where a stream is cut.
func cut(t *rapid.T, s string) (pieces []string) {
	for s != "" {
		n := min(len(s), rapid.IntRange(1, 400).Draw(t, "piece"))
		pieces, s = append(pieces, s[:n]), s[n:]
	}
	return pieces
}

// Whatever comes, in whatever pieces, leaves as it came.
func TestAnythingPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ext := rapid.SampledFrom(extensions).Draw(t, "extensions")
		sent := frames(t) + string(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "garbage"))
		dir := message.Direction(rapid.IntRange(0, 1).Draw(t, "dir"))
		var to [2]wire
		c := ws.New(&to[1], &to[0], ws.Options{Response: flow.Header{{Name: "Sec-WebSocket-Extensions", Value: ext}}, Keep: 100})
		for _, p := range cut(t, sent) {
			if err := c.Pass(t.Context(), dir, []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if got := to[dir].take(); got != sent {
			t.Fatalf("sent %q, want %q", got, sent)
		}
		c.Finish(dir)
		if got := to[dir].take(); got != "" {
			t.Fatalf("then sent %q", got)
		}
	})
}

// With handlers that change nothing, too; but control frames may go ahead of
// the message they came in, if that comes in pieces.
func TestAnythingPassesHandlers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := frames(t)
		var to [2]wire
		c := ws.New(&to[1], &to[0], ws.Options{
			Response: flow.Header{{Name: "Sec-WebSocket-Extensions", Value: rapid.SampledFrom(extensions).Draw(t, "extensions")}},
			Handlers: same, Assemble: rapid.SampledFrom([]int64{0, 10, 1000}).Draw(t, "limit"), Keep: 100,
		})
		for _, p := range cut(t, sent) {
			if err := c.Pass(t.Context(), 0, []byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		c.Finish(0)
		got := to[0].take()
		gotData, gotControl := sort(got)
		wantData, wantControl := sort(sent)
		if gotData != wantData || gotControl != wantControl {
			t.Fatalf("sent %q, want %q", got, sent)
		}
	})
}

// sort takes a stream's control frames out.
func sort(s string) (data, control string) {
	for {
		f, rest, ok := cutFrame(s)
		if !ok {
			return data + s, control
		}
		if f.first&8 != 0 {
			control += s[:len(s)-len(rest)]
		} else {
			data += s[:len(s)-len(rest)]
		}
		s = rest
	}
}

// A plan says what the handlers are to do with each message.
type plan struct {
	todo []string
	want []string // what is to arrive
}

func (p *plan) handlers(next message.Handler) message.Handler {
	return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, m *message.Message) error {
		todo := p.todo[0]
		p.todo = p.todo[1:]
		say := func(s string) error {
			p.want = append(p.want, fmt.Sprintf("%#x %s", m.Op, s))
			return next.Message(ctx, c, &message.Message{Dir: m.Dir, Op: m.Op, Payload: []byte(s)})
		}
		came := string(m.Payload)
		switch todo {
		case "drop":
			return nil
		case "change":
			return say(strings.ToUpper(came) + "!")
		case "copy":
			return say(came)
		case "before":
			say("extra")
		case "after":
			defer say("more")
		}
		p.want = append(p.want, fmt.Sprintf("%#x %s", m.Op, came))
		return next.Message(ctx, c, m)
	})
}

// Whatever handlers do to compressed messages, and whatever is put in between,
// the receiver can read all of it: its window is never another than what the
// sender of each message took it for.
func TestCompressedMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		takeover := rapid.Bool().Draw(t, "takeover")
		ext := "permessage-deflate"
		if !takeover {
			ext += "; client_no_context_takeover"
		}
		p := &plan{}
		var to [2]wire
		limit := rapid.SampledFrom([]int{500, 20000, 60000}).Draw(t, "limit")
		c := ws.New(&to[1], &to[0], ws.Options{
			Response: flow.Header{{Name: "Sec-WebSocket-Extensions", Value: ext}},
			Handlers: p.handlers, Assemble: int64(limit), Keep: 1000,
		})
		from := newPacker(rapid.SampledFrom([]int{1, 6, 9}).Draw(t, "level"), takeover)
		var untouched bool = true
		var all string
		for i := range rapid.IntRange(1, 10).Draw(t, "messages") {
			unit := rapid.SampledFrom([]string{"abc", "the quick brown fox", strings.Repeat("0123456789", 100), fmt.Sprint("message ", i)}).Draw(t, "unit")
			text := strings.Repeat(unit, rapid.IntRange(0, 90).Draw(t, "times"))
			if rapid.IntRange(0, 9).Draw(t, "incompressible") == 0 {
				text += string(rapid.SliceOfN(rapid.ByteRange('a', 'z'), 0, 9000).Draw(t, "noise"))
			}
			todo := rapid.SampledFrom([]string{"pass", "pass", "pass", "pass", "drop", "change", "copy", "before", "after"}).Draw(t, "todo")
			packed := rapid.IntRange(0, 4).Draw(t, "packed") > 0
			if len(text) <= limit {
				p.todo = append(p.todo, todo)
				untouched = untouched && (todo == "pass" || todo == "copy")
			} else {
				p.want = append(p.want, "0x1 "+text)
			}
			payload, rsv := text, byte(0)
			if packed {
				payload, rsv = from.pack(text), 0x40
			}
			sent := fragments(t, rsv|1, payload)
			all += sent
			for _, piece := range cut(t, sent) {
				if err := c.Pass(t.Context(), 0, []byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			if rapid.IntRange(0, 5).Draw(t, "inject") == 0 {
				p.want = append(p.want, "0x2 injected")
				untouched = false
				if err := c.Inject(soon, message.Message{Op: 2, Payload: []byte("injected")}); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Finish(0)
		got := to[0].take()
		if untouched && got != all {
			t.Fatal("nobody changed anything, and something else was sent")
		}
		u := &unpacker{takeover: takeover}
		read := messages(t, got, u)
		if len(read) != len(p.want) {
			t.Fatalf("%d messages, want %d: %.100q, want %.100q", len(read), len(p.want), read, p.want)
		}
		for i := range read {
			if read[i] != p.want[i] {
				t.Fatalf("message %d is %.200q, want %.200q", i, read[i], p.want[i])
			}
		}
	})
}

// fragments draws how a message is cut into frames.
func fragments(t *rapid.T, first byte, payload string) string {
	var b strings.Builder
	for {
		n := min(len(payload), rapid.IntRange(0, 3000).Draw(t, "fragment"))
		if rapid.Bool().Draw(t, "last") {
			n = len(payload)
		}
		last := n == len(payload)
		if last {
			first |= 0x80
		}
		b.WriteString(fromClient(first, payload[:n]))
		payload, first = payload[n:], 0
		if last {
			return b.String()
		}
	}
}

// FuzzPass passes anything, and then as handlers would.
func FuzzPass(f *testing.F) {
	f.Add([]byte(fromClient(0x81, "a")+fromClient(0x01, "b")+fromClient(0x89, "c")+fromClient(0x80, "d")), uint8(3), true)
	f.Add([]byte(fromClient(0xc1, newPacker(6, true).pack("hello hello hello"))), uint8(1), true)
	f.Add([]byte(fromClient(0x88, "\x03\xe8")+"\x81\xff\x80"), uint8(50), false)
	f.Fuzz(func(t *testing.T, p []byte, piece uint8, handled bool) {
		o := ws.Options{Assemble: 1000, Keep: 100}
		if handled {
			o.Handlers = reply
		}
		l := open(t, "permessage-deflate", o)
		l.say(up, string(p), int(piece)+1)
		l.Inject(t.Context(), message.Message{Dir: down, Op: 1, Payload: []byte("x")})
		l.end()
		if got := l.heard(up); !handled && got != string(bytes.Clone(p)) {
			t.Errorf("sent %q", got)
		}
	})
}
