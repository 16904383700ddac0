package helper

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
)

// FuzzRequest reads what a proxy may send: what is accepted is written back as it
// was, but for addresses that are v4-mapped.
func FuzzRequest(f *testing.F) {
	var b [requestLen]byte
	for _, r := range []request{
		{kind: askApply, epoch: 1, id: 2, state: draining},
		{kind: askListen, epoch: 1, id: 2, addr: netip.MustParseAddrPort("[::]:8080")},
		{kind: askPrepare, epoch: 1, id: 2, addr: netip.MustParseAddrPort("192.0.2.1:0")},
		{kind: askPrepare, epoch: 1, id: 2, addr: netip.MustParseAddrPort("[::ffff:192.0.2.1]:0")},
		{kind: askHear, epoch: 1, id: 2, addr: netip.MustParseAddrPort("[::]:8080")},
		{kind: askAnswer, epoch: 1, id: 2, addr: netip.MustParseAddrPort("192.0.2.1:53"), peer: netip.MustParseAddrPort("[::ffff:198.51.100.7]:4000")},
		{kind: sayPong, epoch: 1, id: 2},
	} {
		f.Add(bytes.Clone(r.put(&b)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseRequest(in)
		if err != nil {
			return
		}
		if r.addr.Addr().Is4In6() || r.peer.Addr().Is4In6() {
			t.Errorf("%s or %s is v4-mapped", r.addr, r.peer)
		}
		var b [requestLen]byte
		out := r.put(&b)
		mapped := in[14] == 6 && out[14] == 4 || in[33] == 6 && out[33] == 4
		if !bytes.Equal(in, out) && !mapped {
			t.Errorf("%x was written as %x", in, out)
		}
		if again, err := parseRequest(out); err != nil || again != r {
			t.Errorf("%v was read back as %v, %v", r, again, err)
		}
	})
}

// FuzzReport reads what a helper may send, and its log lines.
func FuzzReport(f *testing.F) {
	var b [reportMax]byte
	for _, r := range []report{
		{kind: sayHello, epoch: 1},
		{kind: sayAnswer, epoch: 1, id: 2, errno: 13, refused: true, text: []byte("no")},
		{kind: sayLog, text: appendWord(appendWord(appendWord(nil, "m"), "k"), "v")},
		{kind: sayLost, text: []byte("gone")},
	} {
		f.Add(bytes.Clone(r.put(&b)))
	}
	quiet := slog.New(slog.DiscardHandler)
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := parseReport(in)
		if err != nil {
			return
		}
		var b [reportMax]byte
		if out := r.put(&b); !bytes.Equal(in, out) {
			t.Errorf("%x was written as %x", in, out)
		}
		relog(quiet, slog.LevelInfo, r.text)
	})
}

// TestLog takes records across.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	far := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	var stderr bytes.Buffer
	there := true
	near := slog.New(&handler{
		send: func(l slog.Level, text []byte) bool {
			if there {
				relog(far, l, text)
			}
			return there
		},
		stderr: slog.NewTextHandler(&stderr, nil),
	})
	for name, tt := range map[string]struct {
		say  func()
		want string
	}{
		"message":    {func() { near.Info("hello there") }, `level=INFO msg="hello there"`},
		"attributes": {func() { near.Warn("m", "a", 1, "b", "x y") }, `level=WARN msg=m a=1 b="x y"`},
		"with":       {func() { near.With("a", 1).Debug("m", "b", 2) }, `level=DEBUG msg=m a=1 b=2`},
		"group":      {func() { near.WithGroup("g").With("a", 1).Error("m", "b", 2, slog.Group("h", "c", 3)) }, `level=ERROR msg=m g.a=1 g.b=2 g.h.c=3`},
		"long":       {func() { near.Info(strings.Repeat("m", 5000), "a", 1) }, "level=INFO msg=" + strings.Repeat("m", textMax-2)},
		"long-value": {func() { near.Info("m", "a", strings.Repeat("v", 5000), "b", 2) }, "level=INFO msg=m a=" + strings.Repeat("v", textMax-8)},
	} {
		t.Run(name, func(t *testing.T) {
			out.Reset()
			tt.say()
			if got := strings.TrimSpace(out.String()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
	there = false
	near.With("a", 1).Info("alone", "b", 2)
	if s := stderr.String(); !strings.Contains(s, "msg=alone") || !strings.Contains(s, "a=1") || !strings.Contains(s, "b=2") {
		t.Errorf("standard error has %q", s)
	}
}
