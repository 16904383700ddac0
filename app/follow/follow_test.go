package follow_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"transom/app/follow"
	"transom/flow"
	"transom/message"
	"transom/store"
)

// A stream is a response that grows.
type stream struct {
	t     *testing.T
	store *store.Memory
	body  store.BodyWriter
	flow  flow.Flow
	place follow.Place
	r     follow.Reader
}

func newStream(t *testing.T, o store.MemoryOptions, header ...string) *stream {
	m := store.NewMemory(o)
	t.Cleanup(func() { m.Close() })
	s := &stream{t: t, store: m, body: m.NewBody(), r: follow.Reader{Store: m}}
	var h flow.Header
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	s.flow = flow.Flow{ID: flow.ID{1}, Rev: 1, Detail: &flow.HTTP{
		Request: &flow.RequestHead{}, Response: &flow.ResponseHead{Header: h},
	}}
	return s
}

func kind(k string) []string { return []string{"Content-Type", k} }

// more returns what is new once p has come.
func (s *stream) more(p []byte) []follow.Part {
	s.body.Write(p)
	return s.next()
}

func (s *stream) end() []follow.Part {
	s.flow.State = flow.Done
	return s.next()
}

func (s *stream) next() (parts []follow.Part) {
	s.t.Helper()
	f := s.flow
	d := *f.Detail.(*flow.HTTP)
	d.ResponseBody = s.body.Ref()
	f.Detail = &d
	for p := range s.r.Next(context.Background(), &f, &s.place) {
		p.Data = slices.Clone(p.Data)
		if p.RPC != nil {
			p.RPC.Payload = slices.Clone(p.RPC.Payload)
		}
		parts = append(parts, p)
	}
	return parts
}

// describe says in one line what parts are.
func describe(parts []follow.Part) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d+%d", p.Offset, p.Size)
		switch {
		case p.Event != nil:
			fmt.Fprintf(&b, " %s:%q", p.Event.Type, p.Event.Data)
			if p.Event.ID != "" {
				fmt.Fprintf(&b, " id %s", p.Event.ID)
			}
			if p.Event.Retry >= 0 {
				fmt.Fprintf(&b, " retry %d", p.Event.Retry)
			}
		case p.RPC != nil:
			fmt.Fprintf(&b, " rpc %q", p.RPC.Payload)
			if p.RPC.Compressed {
				b.WriteString(" compressed")
			}
			if p.RPC.Trailers {
				b.WriteString(" trailers")
			}
		case p.Data != nil:
			fmt.Fprintf(&b, " %q", p.Data)
		}
		if p.Truncated {
			b.WriteString(" truncated")
		}
		if p.Err != nil {
			fmt.Fprintf(&b, " %v", p.Err)
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func rpc(flags byte, payload string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(payload)))) + payload
}

// TestParts gives a stream in steps, and looks at what comes of each; the last
// is the end of the flow.
func TestParts(t *testing.T) {
	const sse, grpc = "text/event-stream; charset=utf-8", "Application/gRPC+proto"
	for _, tc := range []struct {
		name, kind string
		come, want []string
	}{
		{
			"text", "application/json",
			[]string{`{"a":`, "", `1}`, ""},
			[]string{`0+5 "{\"a\":"`, "", `5+2 "1}"`, ""},
		},
		{
			"characters", "text/plain",
			[]string{"\xe6", "\x97\xa5\xf0\x9f", "\x98\x80x", "\xe6\x97", ""},
			[]string{"", `0+3 "日"`, `3+5 "😀x"`, "", `8+2 "\xe6\x97"`},
		},
		{
			"not-text", "image/png",
			[]string{"\x89PNG\xff", "\x80\x80\x80\x80", ""},
			[]string{`0+5 "\x89PNG\xff"`, `5+4 "\x80\x80\x80\x80"`, ""},
		},
		{
			"events", sse,
			[]string{"data: one\n\n", "event: tick\ndata: 1\ndata:  2\n", "id: 7\n\n:still here\n\ndata: x", "\n\n", "data: cut", ""},
			[]string{
				`0+11 message:"one"`, "", `11+36 tick:"1\n 2" id 7; 47+13 ":still here\n\n"`,
				`60+9 message:"x" id 7`, "", `69+9 "data: cut"`,
			},
		},
		{
			"line-ends", sse,
			[]string{"data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", "data: d\r\n\r", "\ndata: e\r", "\n\r\n", ""},
			[]string{
				`0+11 message:"a"; 11+9 message:"b"; 20+10 message:"c"`, `30+10 message:"d"`, "", `40+12 message:"e"`, "",
			},
		},
		{
			"fields", sse,
			[]string{
				"\ufeffdata\n\n", "nonsense\ndata:x:y\nevent:\nretry: 30\nretry: -1\n\n", "retry: x\nid: a\x00b\ndata: y\n\n",
				"id: 1\n\n", "data: z\nid\n\n", "event: e\n\n", "",
			},
			[]string{
				`0+9 message:""`, `9+46 message:"x:y" retry 30`, `55+26 message:"y"`,
				`81+7 "id: 1\n\n"`, `88+12 message:"z"`, `100+10 "event: e\n\n"`, "",
			},
		},
		{
			"rpc", grpc,
			[]string{rpc(0, "hello") + rpc(1, "")[:3], rpc(1, "")[3:], rpc(0, "long")[:7], "ng" + rpc(0x80, "x: y"), "\x00\x00", ""},
			[]string{
				`0+10 rpc "hello"`, `10+5 rpc "" compressed`, "", `15+9 rpc "long"; 24+9 rpc "x: y" trailers`, "",
				`33+2 "\x00\x00"`,
			},
		},
		{
			"no-rpc", grpc,
			[]string{rpc(0x20, "hello"), ""},
			[]string{`0+10 " \x00\x00\x00\x05hello"`, ""},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStream(t, store.MemoryOptions{}, kind(tc.kind)...)
			for i, come := range tc.come {
				parts := s.more([]byte(come))
				if i == len(tc.come)-1 {
					parts = s.end()
				}
				if got := describe(parts); got != tc.want[i] {
					t.Errorf("after %q: got %s, want %s", come, got, tc.want[i])
				}
			}
		})
	}
}

func TestCodedIsBytes(t *testing.T) {
	s := newStream(t, store.MemoryOptions{}, "Content-Type", "text/event-stream", "Content-Encoding", "gzip")
	if got := describe(s.more([]byte("data: x\n\n"))); got != `0+9 "data: x\n\n"` {
		t.Error(got)
	}
}

// A part that is larger than what is held comes in pieces, and what follows it
// as it should.
func TestLargeParts(t *testing.T) {
	large := strings.Repeat("x", 3<<20)
	for _, tc := range []struct{ name, kind, large, small, want string }{
		{"event", "text/event-stream", "data: é" + large + "é\n\n", "data: y\n\n", ` message:"y"`},
		{"rpc", "application/grpc", rpc(0, large), rpc(0, "y"), ` rpc "y"`},
		{"text", "text/plain", large + "é", "y", ` "y"`},
	} {
		for _, step := range []int{1000, 64 << 10, 5 << 20} {
			t.Run(fmt.Sprint(tc.name, "-", step), func(t *testing.T) {
				s := newStream(t, store.MemoryOptions{BodyLimit: 1 << 30}, kind(tc.kind)...)
				var got []byte
				for piece := range slices.Chunk([]byte(tc.large), step) {
					for _, p := range s.more(piece) {
						got = append(got, p.Data...)
						if p.Event != nil || p.RPC != nil || len(p.Data) > 64<<10 {
							t.Fatalf("%d bytes at %d as one", len(p.Data), p.Offset)
						}
					}
				}
				if string(got) != tc.large {
					t.Errorf("got %d bytes, want %d", len(got), len(tc.large))
				}
				want := fmt.Sprintf("%d+%d%s", len(tc.large), len(tc.small), tc.want)
				if got := describe(s.more([]byte(tc.small))); got != want {
					t.Errorf("then %s, want %s", got, want)
				}
			})
		}
	}
}

// What is not kept is said, once.
func TestLimits(t *testing.T) {
	t.Run("truncated", func(t *testing.T) {
		s := newStream(t, store.MemoryOptions{BodyLimit: 12}, kind("text/event-stream")...)
		for i, want := range []string{`0+9 message:"1"`, `9+3 "dat"; 12+0 truncated`, "", ""} {
			parts := s.more([]byte("data: 1\n\n"))
			if i == 3 {
				parts = s.end()
			}
			if got := describe(parts); got != want {
				t.Errorf("%d: got %s, want %s", i, got, want)
			}
		}
	})
	t.Run("nothing-kept", func(t *testing.T) {
		s := newStream(t, store.MemoryOptions{BodyLimit: -1})
		if got, again := describe(s.more([]byte("abc"))), describe(s.end()); got != "0+0 truncated" || again != "" {
			t.Errorf("%s, then %s", got, again)
		}
	})
	t.Run("dropped", func(t *testing.T) {
		s := newStream(t, store.MemoryOptions{})
		first := describe(s.more([]byte("abc")))
		s.body.Close() // no flow refers to it
		s.body.Write([]byte("de"))
		if got, again := describe(s.next()), describe(s.end()); first != `0+3 "abc"` || got != "3+2 "+store.ErrGone.Error() || again != "" {
			t.Errorf("%s, then %s, then %s", first, got, again)
		}
	})
}

func TestBegins(t *testing.T) {
	s := newStream(t, store.MemoryOptions{})
	s.flow.Rev = 0
	if got := describe(s.more([]byte("abc"))); got != "" {
		t.Errorf("of a flow that has just begun: %s", got)
	}
	s.flow.Rev = 1
	if got := describe(s.next()); got != `0+3 "abc"` {
		t.Error(got)
	}
	s.body = s.store.NewBody() // middleware sends another
	if got := describe(s.more([]byte("de"))); got != `0+2 "de"` {
		t.Error(got)
	}
}

func TestAllBodies(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	body := func(s string) flow.BodyRef {
		w := m.NewBody() // never closed: its flow is not in the store
		w.Write([]byte(s))
		return w.Ref()
	}
	events := flow.Header{{Name: "Content-Type", Value: "text/event-stream"}}
	wasRequest, wasResponse := body("a"), body("c")
	f := &flow.Flow{Rev: 1, State: flow.Done, Detail: &flow.HTTP{
		Request: &flow.RequestHead{}, OriginalRequest: &flow.RequestHead{}, Response: &flow.ResponseHead{},
		OriginalResponse: &flow.ResponseHead{Header: events},
		RequestBody:      body("b"), OriginalRequestBody: &wasRequest, ResponseBody: body("d"), OriginalResponseBody: &wasResponse,
	}}
	for streams, want := range map[bool]string{false: "original_request a request b original_response c response d ", true: "original_response c "} {
		r := follow.Reader{Store: m, StreamsOnly: streams}
		var got string
		for p := range r.Next(t.Context(), f, new(follow.Place)) {
			got += p.Of.String() + " " + string(p.Data) + " "
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestLog(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{BodyLimit: 40})
	defer m.Close()
	log := m.NewBody()
	f := &flow.Flow{Rev: 1}
	var place follow.Place
	r := follow.Reader{Store: m}
	next := func() (out string) {
		f.Detail = &flow.Messages{Kind: "websocket", Log: log.Ref()}
		for p := range r.Next(t.Context(), f, &place) {
			if p.Message == nil {
				out += describe([]follow.Part{p})
				continue
			}
			out += fmt.Sprintf("%d+%d %v %d/%d %q; ", p.Offset, p.Size, p.Message.At, p.Message.Dir, p.Message.Op, p.Message.Payload)
		}
		return out
	}
	add := func(at, before time.Duration, op uint8, payload string) []byte {
		e := message.Entry{Dir: message.ToClient, Op: op, At: at, Size: int64(len(payload))}
		return append(message.AppendHead(nil, &e, before), payload...)
	}
	first, second := add(5, 0, 1, "hi"), add(9, 5, 0, "there")
	log.Write(first)
	log.Write(second[:2])
	if got, want := next(), `0+6 5ns 1/1 "hi"; `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	log.Write(second[2:])
	if got, want := next(), `6+8 9ns 1/0 "there"; `; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	log.Write(add(20, 9, 2, strings.Repeat("x", 100)))
	if got, want := next(), `14+26 20ns 1/2 "xxxxxxxxxxxxxxxxxxxxxx"; 40+0 truncated`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	f.State = flow.Done
	if got := next(); got != "" {
		t.Errorf("at the end got %s", got)
	}
}

func TestLogMalformed(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	log := m.NewBody()
	log.Write([]byte{0x40, 0, 0})
	f := &flow.Flow{Rev: 1, State: flow.Done, Detail: &flow.Messages{Log: log.Ref()}}
	r := follow.Reader{Store: m}
	var place follow.Place
	n := 0
	for range 2 {
		for p := range r.Next(t.Context(), f, &place) {
			n++
			if p.Err == nil || p.Size != 3 || errors.Is(p.Err, store.ErrGone) {
				t.Errorf("%+v", p)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d parts", n)
	}
}

// What comes of a stream does not depend on the steps it comes in, and nothing
// of it is lost.
func FuzzParts(f *testing.F) {
	f.Add(byte(0), uint8(1), []byte("text é \xff 日"))
	f.Add(byte(1), uint8(3), []byte("\ufeffid: 1\r\ndata: a\r\rdata:b\n\n:c\n\nevent: x\nretry: 5\ndata\n\ndata: open"))
	f.Add(byte(2), uint8(2), []byte(rpc(0, "hello")+rpc(1, "")+rpc(0x80, "a: b")+"\x00\x00"))
	f.Fuzz(func(t *testing.T, format byte, step uint8, body []byte) {
		k := []string{"text/plain", "text/event-stream", "application/grpc"}[format%3]
		collect := func(step int) (meant []string) {
			s := newStream(t, store.MemoryOptions{}, kind(k)...)
			var all []byte
			add := func(parts []follow.Part) {
				for _, p := range parts {
					if p.Offset != int64(len(all)) || p.Size != int64(len(p.Data)) || p.Size == 0 {
						t.Fatalf("%d+%d holds %d bytes, after %d", p.Offset, p.Size, len(p.Data), len(all))
					}
					all = append(all, p.Data...)
					if p.Event != nil || p.RPC != nil {
						p.Offset, p.Size, p.Data = 0, 0, nil
						meant = append(meant, describe([]follow.Part{p}))
					}
				}
			}
			for piece := range slices.Chunk(body, step) {
				add(s.more(piece))
			}
			add(s.end())
			if !bytes.Equal(all, body) {
				t.Fatalf("%q came as %q", body, all)
			}
			return meant
		}
		steps, once := collect(int(step)+1), collect(len(body)+1)
		if !slices.Equal(steps, once) {
			t.Errorf("in steps of %d: %s; at once: %s", int(step)+1, steps, once)
		}
		if k == "text/event-stream" {
			if want := dispatched(string(body)); !slices.Equal(once, want) {
				t.Errorf("got %s, want %s", once, want)
			}
		}
	})
}

// dispatched reads a stream of events as the standard is written: all of it,
// line by line.
func dispatched(body string) (out []string) {
	body = strings.TrimPrefix(body, "\ufeff")
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(body, "\n")
	var data, kind, id string
	retry := int64(-1)
	for _, line := range lines[:len(lines)-1] { // the last has no end
		if line == "" {
			if data != "" {
				e := follow.Event{Type: kind, Data: strings.TrimSuffix(data, "\n"), ID: id, Retry: retry}
				if kind == "" {
					e.Type = "message"
				}
				out = append(out, describe([]follow.Part{{Event: &e}}))
			}
			data, kind, retry = "", "", -1
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data += value + "\n"
		case "event":
			kind = value
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				if n, err := strconv.ParseInt(value, 10, 64); err == nil {
					retry = n
				}
			}
		}
	}
	return out
}
