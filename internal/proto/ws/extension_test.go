package ws

import (
	"strings"
	"testing"

	"transom/flow"
)

func TestAgreed(t *testing.T) {
	for _, tc := range []struct {
		fields string // values, separated by |
		up     deflation
		down   deflation
		other  string
	}{
		{"", deflation{}, deflation{}, ""},
		{"permessage-deflate", deflation{true, true, 15}, deflation{true, true, 15}, ""},
		{"permessage-deflate; server_no_context_takeover", deflation{true, true, 15}, deflation{true, false, 15}, ""},
		{"Permessage-Deflate ;client_no_context_takeover; client_max_window_bits=9", deflation{true, false, 9}, deflation{true, true, 15}, ""},
		{`permessage-deflate; server_max_window_bits="10"; client_max_window_bits`, deflation{}, deflation{}, "permessage-deflate"},
		{`permessage-deflate; server_max_window_bits="10"`, deflation{true, true, 15}, deflation{true, true, 10}, ""},
		{"permessage-deflate; server_max_window_bits=16", deflation{}, deflation{}, "permessage-deflate"},
		{"permessage-deflate; who_knows", deflation{}, deflation{}, "permessage-deflate"},
		{"permessage-deflate, permessage-deflate", deflation{}, deflation{}, "permessage-deflate"},
		{"x-webkit-deflate-frame", deflation{}, deflation{}, "x-webkit-deflate-frame"},
		{`a; b="c,d;e", permessage-deflate`, deflation{}, deflation{}, "a"},
		{" , |permessage-deflate", deflation{true, true, 15}, deflation{true, true, 15}, ""},
		{"permessage-deflate|mux", deflation{}, deflation{}, "mux"},
	} {
		var h flow.Header
		for _, v := range strings.Split(tc.fields, "|") {
			h.Add("sec-websocket-extensions", v)
		}
		up, down, other := agreed(h)
		if up != tc.up || down != tc.down || other != tc.other {
			t.Errorf("%q: %+v, %+v, %q", tc.fields, up, down, other)
		}
	}
}

func FuzzAgreed(f *testing.F) {
	f.Add(`permessage-deflate; server_max_window_bits="10", a; b="\"c,d"`)
	f.Add("permessage-deflate; client_no_context_takeover")
	f.Fuzz(func(t *testing.T, v string) {
		up, down, other := agreed(flow.Header{{Name: "Sec-WebSocket-Extensions", Value: v}})
		if up.on != down.on || other != "" && up.on || up.on && (up.bits < 8 || up.bits > 15) {
			t.Errorf("%+v, %+v, %q", up, down, other)
		}
	})
}
