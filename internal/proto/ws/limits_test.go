package ws_test

import (
	"strings"
	"testing"

	"transom/exchange"
	"transom/internal/proto/ws"
	"transom/message"
)

// A message that is too long to be assembled passes by the handlers as it came,
// from where that is known, and the next is theirs again.
func TestTooLong(t *testing.T) {
	for name, tc := range map[string]struct {
		o     ws.Options
		first byte
		note  string
	}{
		"limit":        {ws.Options{Assemble: 1000}, 0x01, "too long"},
		"packed-limit": {ws.Options{Assemble: 1000}, 0x41, "too long"},
		"budget":       {ws.Options{Budget: exchange.NewBudget(20000)}, 0x01, "held in memory"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.Handlers, tc.o.Keep = reply, 100
			l := open(t, "permessage-deflate", tc.o)
			p := newPacker(6, true)
			text := strings.Repeat("drop", 10000)
			payload, next := text, "change"
			if tc.first&0x40 != 0 {
				payload, next = p.pack(text), p.pack("change")
			}
			half := len(payload) / 2
			one, two := fromClient(tc.first, payload[:half]), fromClient(0x80, payload[half:])
			l.say(up, one, 10)
			if got := l.heard(up); got != one {
				t.Errorf("%d octets were sent, want %d", len(got), len(one))
			}
			l.say(up, two, 10)
			if got := l.heard(up); got != two {
				t.Errorf("then %d octets, want %d", len(got), len(two))
			}
			l.say(up, fromClient(tc.first|0x80, next), 0)
			u := &unpacker{takeover: true, window: text}
			compare(t, messages(t, l.heard(up), u), []string{"0x1 changed"})
			if got := l.rec.String(); got != "> text of 40000 100 octets\n> text \"changed\" changed\n" {
				t.Errorf("recorded\n%s", got)
			}
			if got := l.rec.noted(); !strings.Contains(got, tc.note) {
				t.Errorf("noted %q", got)
			}
			l.end()
			if n := tc.o.Budget.Used(); n != 0 {
				t.Errorf("%d octets of the budget are not given back", n)
			}
		})
	}
}

// Headers count, too: a message of empty frames has a size of its own.
func TestEndlessEmptyFragments(t *testing.T) {
	l := open(t, "", ws.Options{Handlers: same, Assemble: 1000})
	l.say(up, fromClient(0x01, ""), 0)
	n := 0
	for l.heard(up) == "" {
		l.say(up, fromClient(0x00, ""), 0)
		if n++; n > 100000 {
			t.Fatal("a message without end is held without end")
		}
	}
}

// What decompresses to far more than came is not decompressed to its end, and
// passes all the same.
func TestBomb(t *testing.T) {
	p := newPacker(9, true)
	bomb := fromServer(0xc2, p.pack(strings.Repeat("\x00", 80<<20)))
	after := fromServer(0xc1, p.pack("after"))
	for mode, o := range modes {
		t.Run(mode, func(t *testing.T) {
			l := open(t, "permessage-deflate", o)
			l.say(down, bomb+after, 30000)
			if got := l.heard(down); got != bomb+after {
				t.Errorf("%d octets of %d were sent", len(got), len(bomb+after))
			}
			if got := l.rec.noted(); !strings.Contains(got, "no longer decompressed") {
				t.Errorf("noted %q", got)
			}
			if got := l.rec.String(); !strings.Contains(got, "encoded\n< text") || !strings.HasSuffix(got, "encoded\n") {
				t.Errorf("recorded\n%s", got)
			}
		})
	}
}

// Damage ends what can be read of a direction, and nothing else: not what is
// sent, not the other direction, not messages that are not compressed.
func TestDamage(t *testing.T) {
	for mode, o := range map[string]ws.Options{"watched": {}, "handled": {Handlers: reply}} {
		t.Run(mode, func(t *testing.T) {
			l := open(t, "permessage-deflate", o)
			p := newPacker(6, true)
			sent := fromClient(0xc1, p.pack("hello")) + fromClient(0xc1, "\x06\x00") + fromClient(0xc1, p.pack("hello")) + fromClient(0x81, "plain")
			l.say(up, sent, 0)
			if got := l.heard(up); got != sent {
				t.Errorf("sent %q", got)
			}
			l.say(down, fromServer(0xc1, newPacker(6, true).pack("fine")), 0)
			got := l.rec.String()
			if !strings.HasPrefix(got, "> text \"hello\"\n> text of 2 \"\" encoded\n> text ") || !strings.HasSuffix(got, " encoded\n> text \"plain\"\n< text \"fine\"\n") {
				t.Errorf("recorded\n%s", got)
			}
		})
	}
}

// Where each message stands for itself, damage is that of one.
func TestDamageWithoutTakeover(t *testing.T) {
	l := open(t, "permessage-deflate; client_no_context_takeover", ws.Options{})
	p := newPacker(6, false)
	l.say(up, fromClient(0xc1, "\x06\x00")+fromClient(0xc1, p.pack("hello")), 0)
	if got := l.rec.String(); !strings.HasSuffix(got, "> text \"hello\"\n") {
		t.Errorf("recorded\n%s", got)
	}
}

// A message that has to be compressed anew and is damaged stays damaged for the
// receiver, and what follows still comes as frames.
func TestDamageBehindAChange(t *testing.T) {
	l := open(t, "permessage-deflate", ws.Options{Handlers: reply, Assemble: 100})
	p := newPacker(6, true)
	l.say(up, fromClient(0xc1, p.pack("change")), 0)
	u := &unpacker{takeover: true}
	compare(t, messages(t, l.heard(up), u), []string{"0x1 changed"})
	long := p.pack(strings.Repeat("abc ", 1000))
	l.say(up, fromClient(0x41, long)+fromClient(0x00, "\xff\xff\x06")+fromClient(0x80, "\xff\xff"), 0)
	l.say(up, fromClient(0x81, "plain"), 0)
	fs := unframe(t, l.heard(up))
	last := fs[len(fs)-1]
	if last.payload != "plain" || fs[len(fs)-2].first != 0x80 {
		t.Errorf("the last frames are %q", fs[len(fs)-2:])
	}
}

// Windows that are smaller than those of the standard compressor are heeded
// (RFC 7692, section 7.1.2): the receiver's is 256 octets here.
func TestSmallWindow(t *testing.T) {
	l := open(t, "permessage-deflate; client_max_window_bits=8", ws.Options{Handlers: func(next message.Handler) message.Handler { return next }})
	text := strings.Repeat("0123456789", 200)
	if err := l.Inject(t.Context(), message.Message{Op: 1, Payload: []byte("not compressed: the windows are the same")}); err != nil {
		t.Fatal(err)
	}
	if fs := unframe(t, l.heard(up)); fs[0].first != 0x81 {
		t.Errorf("first octet %#x", fs[0].first)
	}
	l = open(t, "permessage-deflate; client_max_window_bits=8; client_no_context_takeover", ws.Options{})
	if err := l.Inject(t.Context(), message.Message{Op: 1, Payload: []byte(text)}); err != nil {
		t.Fatal(err)
	}
	got := l.heard(up)
	if fs := unframe(t, got); fs[0].first != 0xc1 || len(fs[0].payload) >= len(text) {
		t.Errorf("first octet %#x, %d octets", fs[0].first, len(fs[0].payload))
	}
	compare(t, messages(t, got, &unpacker{}), []string{"0x1 " + text})
	// Ours is as strict about windows as any receiver; it reads it, too.
	again := open(t, "permessage-deflate; client_max_window_bits=8; client_no_context_takeover", ws.Options{})
	again.say(up, got, 0)
	if got := again.rec.noted(); got != "" {
		t.Errorf("noted %q", got)
	}
	wide := open(t, "permessage-deflate; client_max_window_bits=8; client_no_context_takeover", ws.Options{})
	wide.say(up, fromClient(0xc1, newPacker(9, false).pack(text[:5]+strings.Repeat("a?", 200)+text[:5]+strings.Repeat("xyz", 100)+text[:300])), 0)
	if got := wide.rec.noted(); !strings.Contains(got, "decompressed") {
		t.Errorf("a reference too far back was noted as %q", got)
	}
}
