package filter_test

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/message"
)

var began = time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)

// conn is one of this machine's own, with TLS on both legs.
func conn() *flow.Conn {
	return &flow.Conn{
		Client: netip.MustParseAddrPort("192.168.7.2:51000"), Dst: netip.MustParseAddrPort("203.0.113.7:443"),
		Process: &flow.Process{Name: "curl", Path: "/usr/bin/curl-8", User: "alice", Container: "docker web", Unit: "job.service"},
		Device:  &flow.Device{MAC: "02:00:5e:10:00:01", Name: "Alice's phone", NamedBy: "dhcp"},
		Layers: []flow.Layer{
			{Proto: "tls", Host: "shop.example", TLS: &flow.TLS{ServerName: "shop.example", Version: 0x304, JA3: "769,47", JA4: "t13d1516h2_a_b"}},
			{Proto: "h2"},
		},
		Server: &flow.Leg{TLS: &flow.TLS{Version: 0x303}},
	}
}

// flows has one of every type.
func flows(k *kept) map[string]*flow.Flow {
	get := &flow.RequestHead{Method: "GET", Scheme: "https", Authority: "shop.example", Target: "/a", Proto: flow.HTTP2}
	query := &flow.DNSMessage{Questions: []flow.DNSQuestion{{Name: "shop.example"}}, Raw: make([]byte, 30)}
	details := map[string]flow.Detail{
		"http": &flow.HTTP{
			Request: get, RequestBody: k.add([]byte("to")), ResponseBody: k.add([]byte(strings.Repeat("from", 512))),
			Response: &flow.ResponseHead{Status: 404, Proto: flow.HTTP2, Header: flow.Header{{Name: "content-type", Value: "text/css"}}},
		},
		"asked":     &flow.HTTP{Request: get},
		"websocket": &flow.Messages{Kind: "websocket", Request: &flow.RequestHead{Method: "GET", Scheme: "https", Authority: "shop.example", Target: "/ws", Proto: flow.HTTP11}, Log: k.log(message.Entry{Op: 1, Payload: []byte("to")}, message.Entry{Op: 9, Payload: []byte("ping")})},
		"tcp":       &flow.Messages{Kind: "tcp", Bytes: [2]int64{2, 4}, Log: k.log(message.Entry{Payload: []byte("to")}, message.Entry{Dir: message.ToClient, Payload: []byte("from")})},
		"udp":       &flow.Messages{Kind: "udp", Bytes: [2]int64{2, 0}, Log: k.log(message.Entry{Payload: []byte("to")})},
		"dns":       &flow.DNS{Query: query, Answer: &flow.DNSMessage{Questions: query.Questions, Answers: []flow.DNSRecord{{Data: "192.0.2.1"}}, Raw: make([]byte, 60)}},
		"tls":       &flow.Connection{Type: "tls", Reason: "client refused our certificate", Bytes: [2]int64{300, 1000}},
		"conn":      &flow.Connection{Bytes: [2]int64{1 << 20, 1}},
	}
	all := map[string]*flow.Flow{}
	for name, d := range details {
		all[name] = &flow.Flow{Conn: conn(), Detail: d, Start: began, End: began.Add(1500 * time.Millisecond), State: flow.Done}
	}
	all["asked"].State, all["asked"].End = flow.Open, time.Time{}
	all["tls"].State, all["tls"].Err = flow.Failed, "it failed"
	all["conn"].Conn = &flow.Conn{Client: netip.MustParseAddrPort("[2001:db8::2]:1"), Dst: netip.MustParseAddrPort("[::ffff:198.51.100.1]:22")}
	all["http"].Tags = []string{"odd"}
	return all
}

const every = "http asked websocket tcp udp dns tls conn"

// TestOperators: every operator with flows of every type.
func TestOperators(t *testing.T) {
	k := &kept{}
	all := flows(k)
	for text, want := range map[string]string{
		"~all": every, "!~all": "", "~a": "http", "~e": "tls", "~http": "http asked websocket", "~websocket": "websocket",
		"~tcp": "tcp", "~udp": "udp", "~dns": "dns", "~q": "asked", "~s": "http websocket dns", "!~q": "http websocket tcp udp dns tls conn",
		"~marked ~replay": "", "~replayq": "", "~replays": "", "~marker .": "", "~marker .*": every, "~meta .*": every, "~comment .": "",
		"~u shop": "http asked websocket dns", "~u ^https://shop.example/ws$": "websocket", "~d ^shop": "http asked websocket", "~d ^203": "http asked websocket",
		"~m ^get$": "http asked websocket", "~c 404": "http", "~c 101": "websocket", "~t css": "http", "~ts css": "http", "~tq css": "",
		"~h ^content-type:": "http", "~hs css": "http", "~hq .": "", "~b to": "http websocket tcp udp", "~bq ^to$": "http websocket tcp udp",
		"~bs from": "http tcp", "~b ping": "", "~b shop": "dns", "~bs 192.0": "dns", "~bq 192.0": "", `~b ""`: "http websocket tcp udp dns",
		"~src ^192.168.7.2:51000$": "http asked websocket tcp udp dns tls", "~dst :443$": "http asked websocket tcp udp dns tls",
		"~dst ^::ffff:198.51.100.1:22$": "conn", "~src ^2001:db8::2:1$": "conn",
		// Ours.
		"~name ^shop.example$": "http asked websocket tcp udp dns tls", "~name ^198|198": "conn", "~sni shop": "http asked websocket tcp udp dns tls",
		"~ja3 ^769": "http asked websocket tcp udp dns tls", "~ja4 ^t13 & ~http": "http asked websocket",
		"~tls 1.2 ~tcp": "tcp", "~tlsq 1.2": "", "~tlss <1.3 & ~udp": "udp", "~tls 1.0-1.1,1.3 & ~dns": "dns", "!~tls >=1.0": "conn",
		"~reason refused": "tls", "~proto ^tls$ & !~proto ^h2$": "", "~proto ^conn$": "conn", "~proto HTTP/2": "http asked", "~proto ^h2$ ~tcp": "tcp",
		"~status 4xx": "http", "~status >=500": "", "~status 101,400-403": "websocket", "~status <400": "websocket",
		"~duration >1s": "http websocket tcp udp dns tls conn", "~duration 1s-1400ms": "", "~duration 1500ms ~tcp": "tcp",
		"~size >=1m": "conn", "~size 90": "dns", "~sizeq 2 ~http": "http", "~sizes 2k": "http", "~sizes >1.9k,4": "http tcp",
		"~since 2026-01-31T15:04:05Z": every, "~until 2026-01-31T15:04:05Z": "", "~since 2026-02-02": "", "~until 2026-02-02": every,
		"~srcnet 192.168.0.0/16 ~udp": "udp", "~srcnet 2001:db8::/32,10.0.0.1": "conn", "~dstnet 198.51.100.1": "conn",
		"~process ^curl$ ~dns": "dns", "~process bin/ ~dns": "dns", "~user alice ~udp": "udp", "~container web ~udp": "udp", "~unit ^job ~udp": "udp", "~user .": "http asked websocket tcp udp dns tls",
		"~tag odd": "http", "~device phone ~udp": "udp", "~device ^02:00:5E: & ~http": "http asked websocket", "~device dhcp": "", "!~device .": "conn",
		"~words TO": "http websocket tcp udp", "~words 'from to' | ~words from": "tcp", "~words 'shop EXAMPLE'": "dns", "~words ping": "",
	} {
		x, err := filter.Parse(text, filter.Options{})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, name := range strings.Fields(every) {
			if ok, err := x.Match(t.Context(), all[name], k); err != nil {
				t.Errorf("%s: %s: %v", text, name, err)
			} else if ok {
				got = append(got, name)
			}
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s matches %q, want %q", text, got, want)
		}
	}
}

// TestURL: as mitmproxy's pretty_url.
func TestURL(t *testing.T) {
	c := conn()
	for want, r := range map[string]*flow.RequestHead{
		"^http://a.test/x$":            {Method: "GET", Target: "http://a.test/x", Authority: "a.test"},
		"^http://b.test/x$":            {Method: "GET", Target: "http://a.test/x", Authority: "b.test"},
		"^https://b.test:8443/$":       {Method: "GET", Scheme: "https", Target: "/", Authority: "b.test:8443"},
		"^https://b.test/$":            {Method: "GET", Scheme: "https", Target: "/", Authority: "b.test:443"},
		`^http://203\.0\.113\.7:443/$`: {Method: "GET", Scheme: "http", Target: "/"},
		`^https://203\.0\.113\.7$`:     {Method: "OPTIONS", Scheme: "https", Target: "*"},
		"^a.test:443$":                 {Method: "CONNECT", Target: "a.test:443"},
		"^https://a.test/chat$":        {Method: "CONNECT", Protocol: "websocket", Scheme: "https", Authority: "a.test", Target: "/chat"},
		`^https://2001:db8::1:8443/$`:  {Method: "GET", Scheme: "https", Authority: "[2001:db8::1]:8443", Target: "/"},
		`^http://a b:c/$`:              {Method: "GET", Scheme: "http", Authority: "a b:c", Target: "/"},
	} {
		x, err := filter.Parse(`~u "`+strings.ReplaceAll(want, `\`, `\\`)+`"`, filter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := x.Match(t.Context(), &flow.Flow{Conn: c, Detail: &flow.HTTP{Request: r}}, nil); !ok || err != nil {
			t.Errorf("%s does not match %+v: %v", want, r, err)
		}
	}
}

// opens is a store of which all bodies are opened alike.
type opens func() (io.ReadSeekCloser, error)

// OpenBody implements filter.Bodies.
func (o opens) OpenBody(context.Context, flow.BodyRef) (io.ReadSeekCloser, error) { return o() }

var errGone = errors.New("gone")

// TestUndecided: what can't be decided matches, and says why, also behind a !.
func TestUndecided(t *testing.T) {
	gone := opens(func() (io.ReadSeekCloser, error) { return nil, errGone })
	f := &flow.Flow{Detail: &flow.HTTP{Request: &flow.RequestHead{}, RequestBody: flow.BodyRef{Size: 1, Kept: 1}}}
	for _, text := range []string{"~b a", "!~b a", "~bq a & ~q"} {
		x, err := filter.Parse(text, filter.Options{})
		if err != nil || !x.NeedsBody() {
			t.Fatalf("%s: %v", text, err)
		}
		if ok, err := x.Match(t.Context(), f, gone); !ok || !errors.Is(err, errGone) {
			t.Errorf("%s: %v, %v", text, ok, err)
		}
	}
}

// TestMatchAllocates: what needs no body allocates nothing.
func TestMatchAllocates(t *testing.T) {
	all := flows(&kept{})
	x, err := filter.Parse(`~d shop\.example$ & ~hs ^content-type:.*css & !~c 200 & ~u /a & ~srcnet 192.168.0.0/16 | ~dst :22$`, filter.Options{})
	if err != nil || x.NeedsBody() {
		t.Fatal(err)
	}
	for name, f := range all {
		if n := testing.AllocsPerRun(100, func() { _, _ = x.Match(t.Context(), f, nil) }); n != 0 && !racing {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	f := flows(&kept{})["http"]
	for _, text := range []string{"~c 200", "~hs content-type:.*css", `~d shop\.example$ & !~m POST`, `~u "^(?!http:)"`} {
		x, err := filter.Parse(text, filter.Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(strings.ReplaceAll(text, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = x.Match(b.Context(), f, nil)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = filter.Parse(`~d shop\.example$ & !~m POST | ~c 404`, filter.Options{})
	}
}
