package filter_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/message"
)

// kept is a store of bodies, by segment.
type kept [][]byte

func (k *kept) add(b []byte) flow.BodyRef {
	if len(b) == 0 {
		return flow.BodyRef{}
	}
	*k = append(*k, b)
	return flow.BodyRef{Size: int64(len(b)), Kept: int64(len(b)), Segment: uint64(len(*k) - 1)}
}

// OpenBody implements filter.Bodies.
func (k *kept) OpenBody(_ context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader((*k)[ref.Segment]), io.NopCloser(nil)}, nil
}

// log returns messages as a log has them.
func (k *kept) log(messages ...message.Entry) flow.BodyRef {
	var b []byte
	for i := range messages {
		e := &messages[i]
		e.Size = int64(len(e.Payload))
		b = append(message.AppendHead(b, e, 0), e.Payload...)
	}
	return k.add(b)
}

// described is a flow as testdata/flows.json has it.
type described struct {
	Type, Method, Scheme, Path, Version, Authority string
	Client, Dst                                    [2]any
	Headers                                        [][2]string
	Response                                       [][2]string `json:"response_headers"`
	Body                                           string
	ResponseBody                                   string `json:"response_body"`
	Status                                         int
	Error, Question                                string
	Messages                                       [][2]any
	Answers                                        []string
}

func addr(a [2]any) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(a[0].(string)), uint16(a[1].(float64)))
}

// latin1 returns the bytes that characters are numbered by.
func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func header(fields [][2]string) (h flow.Header) {
	for _, f := range fields {
		h = append(h, flow.Field{Name: f[0], Value: string(latin1(f[1]))})
	}
	return h
}

func (d *described) messages(k *kept, op uint8) flow.BodyRef {
	var list []message.Entry
	for _, m := range d.Messages {
		e := message.Entry{Dir: message.ToClient, Op: op, Payload: latin1(m[1].(string))}
		if m[0].(bool) {
			e.Dir = message.ToServer
		}
		list = append(list, e)
	}
	return k.log(list...)
}

// flow makes it. What mitmproxy has as one flow of WebSocket is two here: the second
// is the messages.
func (d *described) flow(t *testing.T, k *kept) (f, messages *flow.Flow) {
	t.Helper()
	f = &flow.Flow{Conn: &flow.Conn{Client: addr(d.Client), Dst: addr(d.Dst)}, Err: d.Error, State: flow.Done, Start: time.Now()}
	switch d.Type {
	case "tcp":
		f.Detail = &flow.Messages{Kind: "tcp", Log: d.messages(k, 0)}
		return f, nil
	case "dns":
		x := &flow.DNS{Query: &flow.DNSMessage{Questions: []flow.DNSQuestion{{Name: d.Question, Type: flow.TypeA}}}}
		if d.Answers != nil {
			x.Answer = &flow.DNSMessage{Questions: x.Query.Questions}
			for _, a := range d.Answers {
				x.Answer.Answers = append(x.Answer.Answers, flow.DNSRecord{Name: d.Question, Type: flow.TypeA, Data: a})
			}
		}
		f.Detail = x
		return f, nil
	}
	body, err := hex.DecodeString(d.Body)
	if err != nil {
		t.Fatal(err)
	}
	responseBody, err := hex.DecodeString(d.ResponseBody)
	if err != nil {
		t.Fatal(err)
	}
	r := &flow.RequestHead{Method: d.Method, Scheme: d.Scheme, Target: d.Path, Authority: d.Authority, Header: header(d.Headers), Proto: flow.HTTP11}
	if d.Version == "HTTP/2.0" {
		r.Proto = flow.HTTP2
	}
	r.Authority += r.Header.Get("Host")
	h := &flow.HTTP{Request: r, RequestBody: k.add(body), ResponseBody: k.add(responseBody)}
	if d.Status != 0 {
		h.Response = &flow.ResponseHead{Status: d.Status, Header: header(d.Response)}
	}
	f.Detail = h
	if d.Messages == nil {
		return f, nil
	}
	h.Began = flow.NewID(time.Now())
	m := *f
	m.ID, m.Detail = h.Began, &flow.Messages{Kind: "websocket", Request: r, Log: d.messages(k, 1)}
	return f, &m
}

// TestMitmproxy compares with what mitmproxy has read and matched; testdata/golden.py
// has asked it.
func TestMitmproxy(t *testing.T) {
	var list []described
	k := &kept{}
	read(t, "testdata/flows.json", &list)
	var golden struct {
		Cases []struct{ Text, Is, Matches string }
	}
	read(t, "testdata/golden.json", &golden)
	type pair struct{ f, messages *flow.Flow }
	var flows []pair
	for i := range list {
		f, m := list[i].flow(t, k)
		flows = append(flows, pair{f, m})
	}
	valid := 0
	for _, c := range golden.Cases {
		x, err := filter.Parse(c.Text, filter.Options{CaseSensitive: true})
		if c.Is == "" {
			continue // here it may mean something
		}
		valid++
		if err != nil {
			t.Errorf("%s: %v", c.Text, err)
			continue
		}
		if got := x.String(); got != c.Is {
			t.Errorf("%s is %s, to mitmproxy %s", c.Text, got, c.Is)
			continue
		}
		for i, f := range flows {
			got, err := x.Match(t.Context(), f.f, k)
			if f.messages != nil && got != (c.Matches[i] == '1') { // what it says is true of one of the two
				got, err = x.Match(t.Context(), f.messages, k)
			}
			if err != nil || got != (c.Matches[i] == '1') {
				t.Errorf("%s on flow %d: %v, %v", c.Text, i, got, err)
			}
		}
	}
	if valid < 1000 {
		t.Errorf("only %d expressions were compared", valid)
	}
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", name, err))
	}
}
