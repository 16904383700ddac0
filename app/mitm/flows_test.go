package mitm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/flow"
	"transom/message"
	"transom/store"
)

// A scene is flows and their bodies.
type scene struct {
	testing.TB
	*store.Memory
	flows []*flow.Flow
	cert  []byte
}

var begin = time.Unix(1_764_240_000, 123_456_789)

func newScene(t testing.TB) *scene {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "shop.test"}, NotAfter: begin.AddDate(1, 0, 0), DNSNames: []string{"shop.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{TB: t, Memory: store.NewMemory(store.MemoryOptions{MaxBytes: 256 << 20}), cert: der}
}

func (s *scene) at(ms int) time.Time { return begin.Add(time.Duration(ms)*time.Millisecond + 987) }

func (s *scene) id(ms int) flow.ID { return flow.NewID(s.at(ms)) }

func (s *scene) body(data string) flow.BodyRef {
	w := s.NewBody()
	if _, err := io.WriteString(w, data); err != nil {
		s.Fatal(err)
	}
	return w.Ref() // not closed, so it stays
}

func (s *scene) log(entries ...message.Entry) flow.BodyRef {
	var b []byte
	var before time.Duration
	for i := range entries {
		e := &entries[i]
		if e.Size == 0 {
			e.Size = int64(len(e.Payload))
		}
		e.Cut = e.Size - int64(len(e.Payload))
		b = append(message.AppendHead(b, e, before), e.Payload...)
		before = e.At
	}
	return s.body(string(b))
}

func (s *scene) add(f *flow.Flow) *flow.Flow {
	s.flows = append(s.flows, f)
	return f
}

func (s *scene) conn(network string) *flow.Conn {
	return &flow.Conn{
		ID: s.id(0), Start: s.at(0), Network: network, Via: "tproxy",
		Client: netip.MustParseAddrPort("192.0.2.7:40000"), Local: netip.MustParseAddrPort("203.0.113.9:443"),
		Dst: netip.MustParseAddrPort("203.0.113.9:443"),
	}
}

func (s *scene) tlsConn() *flow.Conn {
	c := s.conn("tcp")
	c.ID = s.id(1)
	c.Process = &flow.Process{PID: 12, Name: "curl\xff", Path: "/usr/bin/curl", UID: 1000, User: "ann", Unit: "app.service"}
	c.Device = &flow.Device{MAC: "02:00:5e:10:00:01", Name: "ph\xffone", NamedBy: "dhcp"}
	c.Layers = []flow.Layer{
		{Proto: "tls", Host: "shop.test", TLS: &flow.TLS{
			ServerName: "shop.test", ALPN: []string{"h2", "http/1.1"}, Versions: []uint16{0x304, 0x303}, Hello: []byte{1, 0, 0, 1, 0xff}, JA3: "j3", JA4: "j4",
			Version: 0x304, CipherSuite: 0x1301, Protocol: "h2", Group: 29, Resumed: true,
		}},
		{Proto: "h2", H2: "1:65536|00|0|m,a,s,p"},
	}
	c.Server = &flow.Leg{
		From: netip.MustParseAddrPort("198.51.100.1:50000"), To: netip.MustParseAddrPort("203.0.113.9:443"), Dialed: s.at(2), H2: "1:65536|00|0|m,a,s,p",
		TLS: &flow.TLS{ServerName: "shop.test", Version: 0x303, CipherSuite: 0xc02f, Protocol: "h2", Chain: [][]byte{s.cert, s.cert}, VerifyErr: "expired", WantsCert: true},
	}
	return c
}

// all makes flows of every kind there is a place for, each with its oddities.
func all(t testing.TB) *scene {
	s := newScene(t)
	plain, secure := s.conn("tcp"), s.tlsConn()
	get := &flow.RequestHead{
		Method: "GET", Scheme: "http", Authority: "shop.test", Target: "/a?b=\xff", Proto: flow.HTTP11,
		Header: flow.Header{{Name: "Host", Value: "shop.test"}, {Name: "x-ODD", Value: "v\xfe"}},
		Raw:    []byte("GET /a?b=\xff HTTP/1.1\r\nHost:  shop.test\r\nx-ODD: v\xfe\r\n\r\n"),
	}
	ok := &flow.ResponseHead{
		Status: 200, Reason: "Fine", Proto: flow.HTTP11, Header: flow.Header{{Name: "Set-Cookie", Value: "a"}, {Name: "Set-Cookie", Value: "b"}},
		Raw: []byte("HTTP/1.1 200 Fine\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n"),
	}
	s.add(&flow.Flow{
		ID: s.id(10), Rev: 2, Conn: plain, Start: s.at(10), End: s.at(20), State: flow.Done, Tags: []string{"one"},
		Detail: &flow.HTTP{
			Request: get, Response: ok, RequestBody: s.body("q\x00"), ResponseBody: s.body("answer"), FirstByte: s.at(15),
			RequestTrailer: flow.Header{{Name: "T", Value: "1"}}, ResponseTrailer: flow.Header{{Name: "U", Value: "2"}}, Notes: []string{"odd \xf0"},
			Interim: []flow.ResponseHead{{Status: 103, Reason: "Early", Proto: flow.HTTP11, Header: flow.Header{{Name: "Link", Value: "<a>"}}, Raw: []byte("x")}},
		},
	})
	h2 := &flow.RequestHead{
		Method: "POST", Scheme: "https", Authority: "shop.test:443", Target: "/x", Proto: flow.HTTP2,
		Header: flow.Header{{Name: "cookie", Value: "a=b", Form: flow.FormNeverIndexed}, {Name: "accept", Value: "*/*", Form: flow.FormIndexed}},
		H2:     &flow.H2Head{Stream: 3, Pseudo: flow.Header{{Name: ":method", Value: "POST", Form: flow.FormIndexed}}, Priority: &flow.H2Priority{Weight: 200, Exclusive: true}, TableSizes: []uint32{0, 4096}},
	}
	changed := *h2
	changed.Header = flow.Header{{Name: "cookie", Value: "redacted"}}
	changed.H2 = nil
	original := s.body("before")
	s.add(&flow.Flow{
		ID: s.id(30), Conn: secure, Start: s.at(30), End: s.at(40), State: flow.Done,
		Detail: &flow.HTTP{
			Request: &changed, OriginalRequest: h2, RequestBody: s.body("after"), OriginalRequestBody: &original,
			Response: &flow.ResponseHead{Status: 204, Proto: flow.HTTP2}, FirstByte: s.at(35),
		},
	})
	s.add(&flow.Flow{
		ID: s.id(50), Conn: secure, Start: s.at(50), End: s.at(60), State: flow.Failed, Err: "the server reset the stream",
		Detail: &flow.HTTP{Request: h2, RequestBody: flow.BodyRef{Size: 1 << 30, Truncated: true}},
	})
	s.add(&flow.Flow{
		ID: s.id(70), Conn: plain, Start: s.at(70), End: s.at(80), State: flow.Done,
		Detail: &flow.HTTP{
			Request:  &flow.RequestHead{Method: "CONNECT", Scheme: "http", Authority: "far.test:443", Target: "far.test:443", Proto: flow.HTTP11},
			Response: &flow.ResponseHead{Status: 407, Reason: "No", Proto: flow.HTTP10, Header: flow.Header{{Name: "A", Value: "b"}}}, FirstByte: s.at(71),
		},
	})
	s.add(&flow.Flow{
		ID: s.id(90), Conn: plain, Start: s.at(90), End: s.at(91), State: flow.Done,
		Detail: &flow.HTTP{
			Request:  &flow.RequestHead{Method: "GET", Scheme: "http", Authority: "abs.test", Target: "http://abs.test:81/p", Proto: flow.HTTP10, Header: flow.Header{{Name: "Host", Value: "abs.test"}}},
			Response: &flow.ResponseHead{Status: 200, Proto: flow.HTTP11}, ResponseBody: cut(s.body("part"), 10), FirstByte: s.at(91),
		},
	})
	s.webSocket(secure)
	s.add(&flow.Flow{
		ID: s.id(200), Conn: plain, Start: s.at(200), End: s.at(300), State: flow.Failed, Err: "reset",
		Detail: &flow.Messages{
			Kind: "tcp", Count: [2]int64{1, 1}, Bytes: [2]int64{5, 3}, Notes: []string{"n"},
			Log: s.log(message.Entry{Dir: message.ToServer, At: 1, Payload: []byte("hello")}, message.Entry{Dir: message.ToClient, At: 1e6, Payload: []byte("\x00\x01\x02")}),
		},
	})
	s.add(&flow.Flow{
		ID: s.id(310), Conn: plain, Start: s.at(310), End: s.at(320), State: flow.Done,
		Detail: &flow.Messages{
			Kind: "tcp", Count: [2]int64{2, 0}, Bytes: [2]int64{13, 0},
			Log: s.log(message.Entry{At: 1, Payload: []byte("hel"), Size: 10}, message.Entry{At: 1e6, Payload: []byte("xxx"), Changed: true, Injected: true}),
		},
	})
	udp := s.conn("udp")
	s.add(&flow.Flow{
		ID: s.id(330), Conn: udp, Start: s.at(330), End: s.at(340), State: flow.Done,
		Detail: &flow.Messages{Kind: "udp", Count: [2]int64{1, 0}, Bytes: [2]int64{2, 0}, Log: s.log(message.Entry{At: 5, Payload: []byte("hi")})},
	})
	s.dns(udp)
	return s
}

func cut(ref flow.BodyRef, size int64) flow.BodyRef {
	ref.Size, ref.Truncated = size, true
	return ref
}

func (s *scene) webSocket(c *flow.Conn) {
	req := &flow.RequestHead{
		Method: "GET", Scheme: "https", Authority: "shop.test", Target: "/chat", Proto: flow.HTTP11,
		Header: flow.Header{{Name: "Host", Value: "shop.test"}, {Name: "Upgrade", Value: "websocket"}},
		Raw:    []byte("GET /chat HTTP/1.1\r\nHost: shop.test\r\nUpgrade: websocket\r\n\r\n"),
	}
	shake, ws := s.id(100), s.id(110)
	s.add(&flow.Flow{
		ID: shake, Conn: c, Start: s.at(100), End: s.at(110), State: flow.Done,
		Detail: &flow.HTTP{Request: req, Response: &flow.ResponseHead{Status: 101, Reason: "Go", Proto: flow.HTTP11, Header: flow.Header{{Name: "Upgrade", Value: "websocket"}}}, FirstByte: s.at(109), Began: ws},
	})
	s.add(&flow.Flow{
		ID: ws, Conn: c, Start: s.at(110), End: s.at(190), State: flow.Failed, Err: "cut off",
		Detail: &flow.Messages{
			Kind: "websocket", Count: [2]int64{2, 3}, Bytes: [2]int64{9, 9}, Handshake: shake, Request: req, Notes: []string{"compressed"},
			Log: s.log(
				message.Entry{Dir: message.ToServer, Op: 1, At: 1e6, Payload: []byte("hello")},
				message.Entry{Dir: message.ToClient, Op: 9, At: 2e6, Payload: []byte("ping")},
				message.Entry{Dir: message.ToClient, Op: 2, At: 3e6, Payload: []byte("\xff"), Injected: true},
				message.Entry{Dir: message.ToServer, Op: 1, At: 4e6, Payload: []byte("gone"), Dropped: true},
				message.Entry{Dir: message.ToClient, Op: 8, At: 5e6, Payload: []byte("\x03\xe8ok")},
			),
		},
	})
}

// Messages of RFC 1035, section 4: a query, and an answer with short names in it.
const (
	query  = "\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x04test\x00\x00\x01\x00\x01"
	answer = "\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x03www\x04test\x00\x00\x01\x00\x01" +
		"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x05\x02ab\xc0\x10" + "\xc0\x26\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x07"
)

func (s *scene) dns(c *flow.Conn) {
	q := &flow.DNSMessage{
		ID: 0x1234, Flags: 0x0110, Raw: []byte(query), Questions: []flow.DNSQuestion{{Name: "www.test", Type: flow.TypeA, Class: 1}},
	}
	a := &flow.DNSMessage{
		ID: 0x1234, Flags: 0x8180, Raw: []byte(answer), Questions: q.Questions,
		Answers: []flow.DNSRecord{
			{Name: "www.test", Type: flow.TypeCNAME, Class: 1, TTL: 60, Data: "ab.test"},
			{Name: "ab.test", Type: flow.TypeA, Class: 1, TTL: 60, Data: "203.0.113.7"},
		},
	}
	s.add(&flow.Flow{ID: s.id(400), Conn: c, Start: s.at(400), End: s.at(410), State: flow.Done, Detail: &flow.DNS{Query: q, Answer: a, Notes: []string{"asked again"}}})
	s.add(&flow.Flow{ID: s.id(420), Conn: c, Start: s.at(420), End: s.at(430), State: flow.Failed, Err: "no answer", Detail: &flow.DNS{Query: q}})
}

// A kept is a flow with its bodies in place of where they are.
type kept struct {
	*flow.Flow
	Bodies []string
}

// keep reads the bodies of a flow.
func keep(t testing.TB, from store.Store, f *flow.Flow) kept {
	t.Helper()
	read := func(ref flow.BodyRef) string {
		if ref.Kept == 0 {
			return ""
		}
		r, err := from.OpenBody(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	k := kept{Flow: f}
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		for _, ref := range []*flow.BodyRef{&d.RequestBody, &d.ResponseBody, d.OriginalRequestBody, d.OriginalResponseBody} {
			if ref != nil {
				k.Bodies = append(k.Bodies, read(*ref))
			}
		}
	case *flow.Messages:
		k.Bodies = append(k.Bodies, read(d.Log))
	}
	return k
}

// everything returns the flows of a store, in their order.
func everything(t testing.TB, from store.Store) (all []kept) {
	t.Helper()
	for f, err := range from.Flows(context.Background(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, keep(t, from, f))
	}
	return all
}

// equal compares all that is not where something is stored. Times may be off by slack,
// for a float64 of seconds has a quarter of a microsecond.
func equal(slack time.Duration) cmp.Option {
	return cmp.Options{
		cmp.Comparer(func(a, b flow.BodyRef) bool {
			return a.Size == b.Size && a.Kept == b.Kept && a.Truncated == b.Truncated
		}),
		cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= slack }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
		cmp.Comparer(func(a, b []byte) bool { return bytes.Equal(a, b) }),
	}
}

// entries takes a log of messages apart.
func entries(log string) (all []message.Entry) {
	for e, err := range message.ReadLog(strings.NewReader(log)) {
		if err != nil {
			break
		}
		e.Payload = bytes.Clone(e.Payload)
		all = append(all, e)
	}
	return all
}
