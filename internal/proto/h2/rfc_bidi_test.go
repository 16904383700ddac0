package h2_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// TestBothWaysAtOnce has a response begin before its request ends: each piece
// goes on as soon as it has come.
func TestBothWaysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		post := strings.Join(rfcPost, " ")
		w.client.head(1, false, rfcPost...)
		w.settle()
		w.server.wantStream(1, post)
		w.server.head(1, false, ":status=200")
		w.settle()
		w.client.wantStream(1, ":status=200")
		sent, back := "", ""
		for i := range 20 {
			w.client.data(1, false, fmt.Sprint(i))
			w.settle()
			sent += fmt.Sprint(i)
			w.server.wantStream(1, post+"|"+sent)
			w.server.data(1, false, fmt.Sprint(i))
			w.settle()
			back += fmt.Sprint(i)
			w.client.wantStream(1, ":status=200|"+back)
		}
		w.client.head(1, true, "t=1")
		w.settle()
		w.server.wantStream(1, post+"|"+sent+"|t=1|END")
		w.server.data(1, false, "more")
		w.settle()
		w.client.wantStream(1, ":status=200|"+back+"more")
		w.server.head(1, true, "u=2")
		w.settle()
		w.client.wantStream(1, ":status=200|"+back+"more|u=2|END")
		w.wantJoined()
	})
}

// TestServerSpeaksFirst where the client's body only begins after the answer.
func TestServerSpeaksFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		w.client.head(1, false, rfcPost...)
		w.settle()
		w.server.head(1, false, ":status=200")
		w.server.data(1, true, "done")
		w.settle()
		w.client.wantStream(1, ":status=200|done|END")
		w.client.data(1, false, "still ")
		w.settle()
		w.client.data(1, true, "here")
		w.settle()
		w.server.wantStream(1, strings.Join(rfcPost, " ")+"|still here|END")
		w.wantJoined()
	})
}

// TestEarlyResponse is section 8.1: a server may answer and then reset the
// stream with NO_ERROR to have the client stop; the answer stands.
func TestEarlyResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		w.client.head(1, false, rfcPost...)
		w.client.data(1, false, "some")
		w.settle()
		w.server.head(1, false, ":status=413")
		w.server.data(1, true, "too much")
		w.server.reset(1, noError)
		w.settle()
		w.client.wantStream(1, ":status=413|too much|END|RST NO_ERROR")
		w.client.data(1, false, "late")
		w.client.data(1, true, "r")
		get(3)(w.client)
		w.settle()
		w.server.head(3, true, ":status=200")
		w.settle()
		w.client.wantStream(3, ":status=200|END")
		w.wantJoined()
	})
}

// TestResetsPass with their codes, in both directions, at every stage.
func TestResetsPass(t *testing.T) {
	for _, code := range []http2.ErrCode{noError, protocol, http2.ErrCodeInternal, refused, cancelled, calm, http2.ErrCodeHTTP11Required, 0x77} {
		for stage, do := range map[string]func(w *rfcJoin){
			"request-open":  func(w *rfcJoin) { open(1)(w.client) },
			"request-ended": func(w *rfcJoin) { get(1)(w.client) },
			"request-body":  func(w *rfcJoin) { open(1)(w.client); w.client.data(1, false, "x") },
			"response-open": func(w *rfcJoin) { open(1)(w.client); w.settle(); w.server.head(1, false, ":status=200") },
			"response-body": func(w *rfcJoin) {
				get(1)(w.client)
				w.settle()
				w.server.head(1, false, ":status=200")
				w.server.data(1, false, "y")
			},
			"interim":        func(w *rfcJoin) { get(1)(w.client); w.settle(); w.server.head(1, false, ":status=103") },
			"response-ended": func(w *rfcJoin) { open(1)(w.client); w.settle(); w.server.head(1, true, ":status=200") },
		} {
			for _, who := range []string{"client", "server"} {
				t.Run(fmt.Sprint(stage, "-by-", who, "-", code), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := greetJoin(t)
						defer w.finish()
						do(w)
						w.settle()
						from, to := w.client, w.server
						if who == "server" {
							from, to = w.server, w.client
						}
						from.reset(1, code)
						w.settle()
						if s := to.stream(1); !strings.HasSuffix(s, "RST "+code.String()) {
							t.Errorf("received %q, want RST %v", s, code)
						}
						if s := from.stream(1); strings.Contains(s, "RST") {
							t.Errorf("who has reset received %q", s)
						}
						w.wantJoined()
						get(3)(w.client)
						w.settle()
						w.server.head(3, true, ":status=200")
						w.settle()
						w.client.wantStream(3, ":status=200|END")
					})
				})
			}
		}
	}
}

// TestResetFollowsWhatHadCome: nothing of a response that came before its reset
// is lost.
func TestResetFollowsWhatHadCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		get(1)(w.client)
		w.settle()
		w.server.head(1, false, ":status=200")
		w.server.data(1, false, "all ")
		w.server.data(1, false, "of it")
		w.server.reset(1, http2.ErrCodeInternal)
		w.settle()
		w.client.wantStream(1, ":status=200|all of it|RST INTERNAL_ERROR")
		open(3)(w.client)
		w.client.data(3, false, "a")
		w.client.data(3, false, "b")
		w.client.reset(3, cancelled)
		w.settle()
		if s := w.server.stream(3); s != strings.Join(rfcPost, " ")+"|ab|RST CANCEL" && s != strings.Join(rfcPost, " ")+"|RST CANCEL" && s != "" {
			t.Errorf("the server received %q", s)
		}
		w.wantJoined()
	})
}

// TestMalformedOnOneSide resets both: the broken stream with PROTOCOL_ERROR,
// and the other side's stream too, and goes on.
func TestMalformedOnOneSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		get(1)(w.client)
		w.settle()
		w.server.head(1, false, ":status=200", "connection=close")
		w.settle()
		if s := w.client.stream(1); !strings.HasPrefix(s, "RST") && !strings.HasPrefix(s, ":status=502") {
			t.Errorf("the client received %q", s)
		}
		if s := w.server.stream(1); !strings.HasSuffix(s, "RST PROTOCOL_ERROR") {
			t.Errorf("the server received %q", s)
		}
		open(3)(w.client)
		w.settle()
		w.client.head(3, true, "connection=close")
		w.settle()
		w.client.wantStream(3, "RST PROTOCOL_ERROR")
		if s := w.server.stream(3); !strings.Contains(s, "|RST") {
			t.Errorf("the server received %q", s)
		}
		w.wantJoined()
	})
}

// TestStreamsOfTheServerAreLimited: requests wait or are refused when the server
// allows fewer streams than the client has opened.
func TestStreamsOfTheServerAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newJoin(t, nil)
		defer w.finish()
		w.client.preface()
		for id := uint32(1); id < 12; id += 2 {
			get(id)(w.client)
		}
		w.server.settings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
		w.settle()
		answered := 0
		for range 10 {
			for _, id := range w.server.streams()[answered:] {
				w.server.head(id, true, ":status=200")
				answered++
			}
			w.settle()
		}
		for id := uint32(1); id < 12; id += 2 {
			if s := w.client.stream(id); s != ":status=200|END" && s != "RST REFUSED_STREAM" {
				t.Errorf("stream %d received %q", id, s)
			}
		}
		w.wantJoined()
	})
}
