// Package traffic makes up flows, and questions about them, for tests that compare
// what two ways of answering say.
package traffic

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"time"

	"pgregory.net/rapid"

	"transom/flow"
	"transom/message"
)

// Bodies keeps bodies in memory, numbered from 1. It implements filter.Bodies.
type Bodies [][]byte

// Add keeps a body.
func (b *Bodies) Add(data []byte) flow.BodyRef {
	*b = append(*b, data)
	return flow.BodyRef{Segment: uint64(len(*b)), Size: int64(len(data)), Kept: int64(len(data))}
}

// errGone says that there is no such body.
var errGone = errors.New("gone")

// OpenBody implements filter.Bodies.
func (b *Bodies) OpenBody(_ context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	if ref.Segment == 0 || ref.Segment > uint64(len(*b)) {
		return nil, errGone
	}
	return closes{bytes.NewReader((*b)[ref.Segment-1])}, nil
}

type closes struct{ *bytes.Reader }

// Close implements io.Closer.
func (closes) Close() error { return nil }

// Began is about when flows begin.
var Began = time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)

// Texts are few, so that what is asked for is also there; some fold in odd ways, or are
// no UTF-8.
var texts = []string{
	"", "a", "A", "shop.example", "Shop.Example", "cdn.example", "K", "k\u212a", "ſtraße", "STRASSE", "\xff\x80", "x\ny", "é", "É", "api/v1", "i\u0130ı",
	"text/css", "application/json; charset=utf-8", "hello world", "Hello, World!", "日本語", "a\x00b", "10.0.0.1",
}

var addresses = []string{"192.168.7.2:51000", "192.168.7.9:443", "[2001:db8::2]:1", "[::ffff:198.51.100.1]:22", "[fe80::1%eth0]:53", "203.0.113.7:443"}

func text(t *rapid.T) string { return rapid.SampledFrom(texts).Draw(t, "text") }

func address(t *rapid.T) netip.AddrPort {
	if rapid.IntRange(0, 5).Draw(t, "no address") == 0 {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(rapid.SampledFrom(addresses).Draw(t, "address"))
}

func maybe(t *rapid.T) bool { return rapid.Bool().Draw(t, "maybe") }

// Flow makes up a flow, of any type and state, with what is kept of it in bodies. Its
// ID is of about when it began.
func Flow(t *rapid.T, bodies *Bodies) *flow.Flow {
	start := Began.Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "start")) * time.Second / 4)
	f := &flow.Flow{ID: flow.NewID(start), Start: start, Rev: rapid.Uint32Range(0, 3).Draw(t, "rev"), Conn: conn(t)}
	f.State = flow.State(rapid.IntRange(0, 2).Draw(t, "state"))
	if f.State != flow.Open {
		f.End = start.Add(time.Duration(rapid.SampledFrom([]int{-1, 0, 1, 250, 1500, 90000}).Draw(t, "ms")) * time.Millisecond)
	}
	if f.State == flow.Failed {
		f.Err = text(t)
	}
	if maybe(t) {
		f.Tags = rapid.SliceOfN(rapid.SampledFrom(texts), 0, 2).Draw(t, "tags")
	}
	f.Detail = detail(t, bodies)
	return f
}

func conn(t *rapid.T) *flow.Conn {
	c := &flow.Conn{Client: address(t), Dst: address(t)}
	if maybe(t) {
		c.Host = text(t)
	}
	if maybe(t) {
		c.Process = &flow.Process{Name: text(t), Path: text(t), User: text(t), Container: text(t), Unit: text(t)}
	}
	if maybe(t) {
		c.Device = &flow.Device{MAC: "02:00:5e:10:00:01", Name: text(t), NamedBy: "dhcp"}
	}
	if maybe(t) {
		c = c.With(flow.Layer{Proto: "tls", Host: text(t), TLS: hello(t)}).WithServer(&flow.Leg{})
		if maybe(t) {
			c.Server.TLS = hello(t)
		}
	}
	return c.With(flow.Layer{Proto: rapid.SampledFrom([]string{"", "h2", "http/1.1", "ws"}).Draw(t, "proto"), Host: text(t)})
}

func hello(t *rapid.T) *flow.TLS {
	return &flow.TLS{ServerName: text(t), JA3: text(t), JA4: text(t), Version: rapid.SampledFrom([]uint16{0, 0x301, 0x303, 0x304, 0x7f}).Draw(t, "version")}
}

func detail(t *rapid.T, bodies *Bodies) flow.Detail {
	switch rapid.IntRange(0, 9).Draw(t, "type") {
	case 0:
		return &flow.DNS{Query: asked(t), Answer: asked(t)}
	case 1:
		return &flow.Messages{Kind: "tcp", Bytes: [2]int64{size(t), size(t)}, Log: log(t, bodies)}
	case 2:
		return &flow.Messages{Kind: "udp", Bytes: [2]int64{size(t), 0}, Log: log(t, bodies)}
	case 3:
		return &flow.Messages{Kind: "websocket", Request: request(t), Log: log(t, bodies)}
	case 4:
		return &flow.Connection{Type: rapid.SampledFrom([]string{"", "tls"}).Draw(t, "kind"), Reason: text(t), Bytes: [2]int64{size(t), size(t)}}
	case 5:
		return &flow.HTTP{}
	}
	h := &flow.HTTP{Request: request(t), RequestBody: body(t, bodies)}
	if maybe(t) {
		h.Response = &flow.ResponseHead{Status: rapid.SampledFrom([]int{0, 101, 200, 204, 304, 404, 503}).Draw(t, "status"), Proto: flow.HTTP2, Header: header(t)}
		h.ResponseBody = body(t, bodies)
	}
	return h
}

func size(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{0, 1, 90, 1024, 1 << 20}).Draw(t, "size")
}

func request(t *rapid.T) *flow.RequestHead {
	if rapid.IntRange(0, 9).Draw(t, "no head") == 0 {
		return nil
	}
	target := rapid.SampledFrom([]string{"/", "*", "http://shop.example/x", "shop.example:443", "/api/v1?q=Hello", "/" + strings.Repeat("long", 2000)}).Draw(t, "target")
	return &flow.RequestHead{
		Method: rapid.SampledFrom([]string{"GET", "POST", "CONNECT", "get"}).Draw(t, "method"), Scheme: "https", Target: target,
		Authority: text(t), Proto: flow.Proto(rapid.IntRange(0, 2).Draw(t, "version")), Header: header(t),
	}
}

func header(t *rapid.T) flow.Header {
	var h flow.Header
	for range rapid.IntRange(0, 3).Draw(t, "fields") {
		h.Add(rapid.SampledFrom([]string{"Content-Type", "content-type", "Host", "Upgrade", "X-A", "Content-Encoding"}).Draw(t, "name"), text(t))
	}
	return h
}

func asked(t *rapid.T) *flow.DNSMessage {
	if maybe(t) {
		return nil
	}
	return &flow.DNSMessage{Questions: []flow.DNSQuestion{{Name: text(t)}}, Answers: []flow.DNSRecord{{Data: text(t)}}, Raw: make([]byte, 30)}
}

func body(t *rapid.T, bodies *Bodies) flow.BodyRef {
	if maybe(t) {
		return flow.BodyRef{}
	}
	data := strings.Join(rapid.SliceOfN(rapid.SampledFrom(texts), 0, 3).Draw(t, "body"), " ")
	if rapid.IntRange(0, 9).Draw(t, "large") == 0 {
		data = strings.Repeat(". ", 33<<10) + data // past what is searched for words
	}
	return bodies.Add([]byte(data))
}

func log(t *rapid.T, bodies *Bodies) flow.BodyRef {
	var b []byte
	for range rapid.IntRange(0, 3).Draw(t, "messages") {
		e := message.Entry{Payload: []byte(text(t)), Op: rapid.SampledFrom([]uint8{1, 2, 9}).Draw(t, "op"), Dir: message.Direction(rapid.IntRange(0, 1).Draw(t, "direction"))}
		e.Size = int64(len(e.Payload))
		b = append(message.AppendHead(b, &e, 0), e.Payload...)
	}
	return bodies.Add(b)
}
