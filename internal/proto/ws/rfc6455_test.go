package ws_test

import (
	"context"
	"strings"
	"testing"

	"transom/flow"
	"transom/internal/proto/ws"
	"transom/message"
)

// same are handlers that change nothing.
func same(next message.Handler) message.Handler { return next }

// modes are with and without handlers.
var modes = map[string]ws.Options{"watched": {}, "handled": {Handlers: same}}

// RFC 6455, section 5.7, and what else is right: it passes as it came, in
// pieces of any size, and is shown whole.
func TestMessages(t *testing.T) {
	long := strings.Repeat("x", 70000)
	for _, tc := range []struct {
		name string
		dir  message.Direction
		sent string
		want string
	}{
		{"text", down, "\x81\x05Hello", "< text \"Hello\"\n"},
		{"masked-text", up, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "> text \"Hello\"\n"},
		{"fragments", down, "\x01\x03Hel\x80\x02lo", "< text \"Hello\"\n"},
		{"ping", down, "\x89\x05Hello", "< ping \"Hello\"\n"},
		{"pong", up, "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "> pong \"Hello\"\n"},
		{"256", down, "\x82\x7e\x01\x00" + long[:256], "< binary 256 octets\n"},
		{"64KiB", down, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + long[:65536], "< binary 65536 octets\n"},
		{"empty", up, fromClient(0x81, ""), "> text \"\"\n"},
		{"empty-fragments", up, fromClient(0x02, "") + fromClient(0x00, "") + fromClient(0x80, ""), "> binary \"\"\n"},
		{"one-octet-fragments", up, fromClient(0x01, "a") + fromClient(0x00, "b") + fromClient(0x80, "c"), "> text \"abc\"\n"},
		{"close", up, fromClient(0x88, "\x03\xe8bye"), "> close \"\\x03\\xe8bye\"\n"},
		{"close-without-code", down, fromServer(0x88, ""), "< close \"\"\n"},
		{"several", down, fromServer(0x81, "a") + fromServer(0x82, "b") + fromServer(0x89, ""), "< text \"a\"\n< binary \"b\"\n< ping \"\"\n"},
		{"large", up, fromClient(0x82, long), "> binary 70000 octets\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for mode, o := range modes {
				for _, piece := range []int{0, 1, 2, 3, 7, 1000} {
					l := open(t, "", o)
					l.say(tc.dir, tc.sent, piece)
					l.end()
					if got := l.heard(tc.dir); got != tc.sent {
						t.Errorf("%s, %d: sent % .200x", mode, piece, got)
					}
					if got := l.rec.String(); got != tc.want || l.rec.noted() != "" {
						t.Errorf("%s, %d: recorded %s%s", mode, piece, got, l.rec.noted())
					}
				}
			}
		})
	}
}

// A control frame between fragments stays where it stood (section 5.4).
func TestControlBetweenFragments(t *testing.T) {
	sent := fromClient(0x01, "a") + fromClient(0x89, "one") + fromClient(0x00, "b") + fromClient(0x8a, "") + fromClient(0x89, "two") + fromClient(0x80, "c")
	for mode, o := range modes {
		l := open(t, "", o)
		l.say(up, sent, 0)
		if got := l.heard(up); got != sent {
			t.Errorf("%s: sent %q", mode, got)
		}
		want := "> ping \"one\"\n> pong \"\"\n> ping \"two\"\n> text \"abc\"\n"
		if got := l.rec.String(); got != want {
			t.Errorf("%s: recorded\n%s", mode, got)
		}
	}
}

// A control frame does not wait for a message to become whole.
func TestControlGoesAhead(t *testing.T) {
	l := open(t, "", ws.Options{Handlers: same})
	a, ping, b := fromClient(0x01, "a"), fromClient(0x89, "x"), fromClient(0x80, "b")
	l.say(up, a, 0)
	if got := l.heard(up); got != "" {
		t.Errorf("a fragment went ahead of its message: %q", got)
	}
	l.say(up, ping, 0)
	if got := l.heard(up); got != ping {
		t.Errorf("the ping became %q", got)
	}
	l.say(up, b, 0)
	if got := l.heard(up); got != a+b {
		t.Errorf("the message became %q", got)
	}
}

// First octet in is first octet out.
func TestNothingIsHeldBack(t *testing.T) {
	l := open(t, "permessage-deflate", ws.Options{})
	p := newPacker(6, true)
	sent := fromClient(0xc1, p.pack(strings.Repeat("hello ", 100))) + fromClient(0x01, "a") + fromClient(0x89, "b") + fromClient(0x80, "")
	for i := range sent {
		l.say(up, sent[i:i+1], 0)
		if got := l.heard(up); got != sent[i:i+1] {
			t.Fatalf("octet %d: %q", i, got)
		}
	}
}

// What peers do wrong passes as it came, and is noted.
func TestOddities(t *testing.T) {
	for _, tc := range []struct {
		name string
		dir  message.Direction
		ext  string
		sent string
		note string
		want string
	}{
		{"unmasked", up, "", fromServer(0x81, "a"), "without mask", "> text \"a\"\n"},
		{"masked", down, "", fromClient(0x81, "a"), "with mask", "< text \"a\"\n"},
		{"reserved", up, "", fromClient(0x83, "a"), "reserved opcode", "> 3 \"a\"\n"},
		{"reserved-fragments", up, "", fromClient(0x03, "a") + fromClient(0x80, "b"), "reserved opcode", "> 3 \"ab\"\n"},
		{"reserved-control", up, "", fromClient(0x8b, "a"), "reserved opcode", "> b \"a\"\n"},
		{"fragmented-ping", up, "", fromClient(0x09, "a") + fromClient(0x80, "b"), "fragmented control", "> ping \"a\"\n> raw \"b\"\n"},
		{"long-ping", up, "", fromClient(0x89, strings.Repeat("x", 126)), "more than 125", "> ping 126 octets\n"},
		{"long-length-16", up, "", "\x81\xfe\x00\x01\x00\x00\x00\x00a", "as short", "> text \"a\"\n"},
		{"long-length-64", up, "", "\x81\xff\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00a", "as short", "> text \"a\"\n"},
		{"rsv", up, "", fromClient(0xc1, "a"), "reserved bits", "> text \"a\" encoded\n"},
		{"rsv2", up, "permessage-deflate", fromClient(0xa1, "a"), "reserved bits", "> text \"a\" encoded\n"},
		{"rsv-of-control", up, "permessage-deflate", fromClient(0xc9, "a"), "reserved bits", "> ping \"a\"\n"},
		{"rsv-of-continuation", up, "permessage-deflate", fromClient(0x01, "a") + fromClient(0xc0, "b"), "reserved bits", "> text \"ab\"\n"},
		{"continuation", up, "", fromClient(0x80, "a"), "continuation of no message", "> raw \"a\"\n"},
		{"nested", up, "", fromClient(0x01, "a") + fromClient(0x82, "b"), "inside another", "> text \"a\"\n> binary \"b\"\n"},
		{"after-close", up, "", fromClient(0x88, "") + fromClient(0x81, "a"), "behind a close", "> close \"\"\n> text \"a\"\n"},
		{"text", up, "", fromClient(0x81, "\xff"), "UTF-8", "> text \"\\xff\"\n"},
		{"text-cut-in-a-character", up, "", fromClient(0x01, "\xe2\x82") + fromClient(0x80, "\xac"), "", "> text \"€\"\n"},
		{"damaged", up, "permessage-deflate", fromClient(0xc1, "\x06") + fromClient(0x81, "a"), "can't be decompressed", "> text of 1 \"\" encoded\n> text \"a\"\n"},
		{"extension", up, "mux", fromClient(0xf1, "\x06"), `"mux" is not understood`, "> text \"\\x06\" encoded\n"},
		{"undecidable", up, "", fromClient(0x81, "a") + "\x81\xff\x80\x00\x00 and so on", "told apart", "> text \"a\"\n> raw \"\\x81\\xff\\x80\\x00\\x00 and so on\"\n"},
		{"cut", up, "", fromClient(0x01, "a") + fromClient(0x80, "bcd")[:8], "in the middle", "> text \"abc\"\n"},
		{"cut-in-a-header", up, "", fromClient(0x81, "a") + "\x81\xfe", "in the middle", "> text \"a\"\n"},
		{"cut-in-a-ping", up, "", fromClient(0x89, "abc")[:8], "in the middle", "> ping \"ab\"\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for mode, o := range modes {
				for _, piece := range []int{0, 1} {
					l := open(t, tc.ext, o)
					l.say(tc.dir, tc.sent, piece)
					l.end()
					if got := l.heard(tc.dir); got != tc.sent {
						t.Errorf("%s, %d: sent %q", mode, piece, got)
					}
					if got := l.rec.noted(); !strings.Contains(got, tc.note) || tc.note == "" && got != "" {
						t.Errorf("%s, %d: noted %s", mode, piece, got)
					}
					if got := l.rec.String(); got != tc.want && tc.name != "undecidable" {
						t.Errorf("%s, %d: recorded\n%swant\n%s", mode, piece, got, tc.want)
					}
				}
			}
		})
	}
}

// reply handles messages by what they say.
func reply(next message.Handler) message.Handler {
	return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, m *message.Message) error {
		switch string(m.Payload) {
		case "drop":
			return nil
		case "change":
			m.Payload = []byte("changed")
		case "shout":
			for i := range m.Payload { // in its own memory
				m.Payload[i] -= 'a' - 'A'
			}
		case "twice":
			if err := next.Message(ctx, c, m); err != nil {
				return err
			}
		case "before":
			if err := next.Message(ctx, c, &message.Message{Dir: m.Dir, Op: 1, Payload: []byte("extra")}); err != nil {
				return err
			}
		case "answer":
			return next.Message(ctx, c, &message.Message{Dir: 1 - m.Dir, Op: 1, Payload: []byte("answered")})
		case "ping":
			return next.Message(ctx, c, &message.Message{Dir: m.Dir, Op: 9, Payload: []byte("!")})
		}
		return next.Message(ctx, c, m)
	})
}

func TestHandlers(t *testing.T) {
	for _, tc := range []struct {
		name, sent string
		up, down   []string
		recorded   string
	}{
		{"drop", fromClient(0x01, "dr") + fromClient(0x80, "op") + fromClient(0x81, "a"), []string{"0x1 a"}, nil, "> text \"drop\" dropped\n> text \"a\"\n"},
		{"change", fromClient(0x81, "change"), []string{"0x1 changed"}, nil, "> text \"changed\" changed\n"},
		{"in-place", fromClient(0x82, "shout"), []string{"0x2 SHOUT"}, nil, "> binary \"SHOUT\" changed\n"},
		{"twice", fromClient(0x81, "twice"), []string{"0x1 twice", "0x1 twice"}, nil, "> text \"twice\"\n> text \"twice\" changed\n"},
		{"before", fromClient(0x81, "before"), []string{"0x1 extra", "0x1 before"}, nil, "> text \"extra\" changed\n> text \"before\"\n"},
		{"answer", fromClient(0x81, "answer"), nil, []string{"0x1 answered"}, "< text \"answered\" changed\n> text \"answer\" dropped\n"},
		{"drop-ping", fromClient(0x89, "drop"), nil, nil, "> ping \"drop\" dropped\n"},
		{"change-close", fromClient(0x88, "change"), []string{"0x8 changed"}, nil, "> close \"changed\" changed\n"},
		{"message-becomes-ping", fromClient(0x81, "ping"), []string{"0x9 !"}, nil, "> ping \"!\" changed\n"},
		{
			"ping-in-a-dropped-message", fromClient(0x01, "dr") + fromClient(0x89, "x") + fromClient(0x80, "op"),
			[]string{"0x9 x"},
			nil, "> ping \"x\"\n> text \"drop\" dropped\n",
		},
		{
			"changed-ping-in-a-message", fromClient(0x01, "a") + fromClient(0x89, "change") + fromClient(0x80, "b"),
			[]string{"0x9 changed", "0x1 ab"},
			nil, "> ping \"changed\" changed\n> text \"ab\"\n",
		},
		{
			"close-in-a-message", fromClient(0x01, "a") + fromClient(0x88, ""),
			nil, nil, "> close \"\"\n> text \"a\"\n",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, piece := range []int{0, 1} {
				l := open(t, "", ws.Options{Handlers: reply})
				l.say(up, tc.sent, piece)
				l.end()
				got := l.heard(up)
				if tc.name == "close-in-a-message" {
					if got != tc.sent {
						t.Errorf("sent %q", got)
					}
				} else {
					for _, f := range unframe(t, got) {
						if !f.masked {
							t.Errorf("a frame to the server without mask: %q", f)
						}
					}
					compare(t, messages(t, got, nil), tc.up)
				}
				compare(t, messages(t, l.heard(down), nil), tc.down)
				if got := l.rec.String(); got != tc.recorded {
					t.Errorf("recorded\n%swant\n%s", got, tc.recorded)
				}
			}
		})
	}
}

func compare(t helper, got, want []string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %.300q, want %.300q", got, want)
	}
}

// New masks are new each time (section 5.3).
func TestMasksAreFresh(t *testing.T) {
	l := open(t, "", ws.Options{Handlers: reply})
	seen := map[string]bool{}
	for range 20 {
		l.say(up, fromClient(0x81, "change"), 0)
		seen[l.heard(up)] = true
	}
	if len(seen) < 15 {
		t.Errorf("%d different frames of 20", len(seen))
	}
}

func TestHandlersMakeNoNonsense(t *testing.T) {
	for name, m := range map[string]message.Message{
		"opcode":    {Op: 3},
		"none":      {},
		"long-ping": {Op: 9, Payload: make([]byte, 126)},
	} {
		l := open(t, "", ws.Options{Handlers: func(next message.Handler) message.Handler {
			return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, _ *message.Message) error {
				return next.Message(ctx, c, &m)
			})
		}})
		if err := l.Pass(t.Context(), up, []byte(fromClient(0x81, "a"))); err == nil {
			t.Errorf("%s: sent %q", name, l.heard(up))
		}
	}
}
