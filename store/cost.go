package store

import (
	"unsafe"

	"transom/flow"
)

// What a value takes is its size, its fields' text, and its place in the
// bookkeeping. Text that several fields share is counted each time, so the
// bound errs towards keeping less.

const (
	mapSlot   = 48 // a slot of a map with 8-byte keys and 24-byte values, at its usual load
	entryCost = int64(unsafe.Sizeof(entry{})) + 2*int64(unsafe.Sizeof(slot{}))
	fieldSize = int64(unsafe.Sizeof(flow.Field{}))
)

func flowCost(f *flow.Flow) int64 {
	n := entryCost + int64(unsafe.Sizeof(*f)) + text(f.Err) + texts(f.Tags) + text(f.Foreign)
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		n += httpCost(d)
	case *flow.Messages:
		n += int64(unsafe.Sizeof(*d)) + text(d.Kind) + requestCost(d.Request) + texts(d.Notes)
	case *flow.DNS:
		n += int64(unsafe.Sizeof(*d)) + dnsCost(d.Query) + dnsCost(d.Answer) + texts(d.Notes)
	case *flow.Connection:
		n += int64(unsafe.Sizeof(*d)) + text(d.Reason)
	}
	return n
}

func dnsCost(m *flow.DNSMessage) int64 {
	if m == nil {
		return 0
	}
	n := int64(unsafe.Sizeof(*m)) + int64(cap(m.Raw)) +
		int64(cap(m.Questions))*int64(unsafe.Sizeof(flow.DNSQuestion{})) + int64(cap(m.Answers))*int64(unsafe.Sizeof(flow.DNSRecord{}))
	for i := range m.Questions {
		n += text(m.Questions[i].Name)
	}
	for i := range m.Answers {
		n += text(m.Answers[i].Name) + text(m.Answers[i].Data)
	}
	return n
}

func httpCost(h *flow.HTTP) int64 {
	n := int64(unsafe.Sizeof(*h)) + texts(h.Notes)
	n += requestCost(h.Request) + requestCost(h.OriginalRequest)
	n += responseCost(h.Response) + responseCost(h.OriginalResponse)
	for i := range h.Interim {
		n += responseCost(&h.Interim[i])
	}
	return n + headerCost(h.RequestTrailer) + headerCost(h.ResponseTrailer)
}

func requestCost(r *flow.RequestHead) int64 {
	if r == nil {
		return 0
	}
	return int64(unsafe.Sizeof(*r)) + int64(cap(r.Raw)) + headerCost(r.Header) +
		text(r.Method) + text(r.Authority) + text(r.Target)
}

func responseCost(r *flow.ResponseHead) int64 {
	if r == nil {
		return 0
	}
	return int64(unsafe.Sizeof(*r)) + int64(cap(r.Raw)) + headerCost(r.Header) + text(r.Reason)
}

func headerCost(h flow.Header) int64 {
	n := int64(cap(h)) * fieldSize
	for i := range h {
		n += text(h[i].Name) + text(h[i].Value)
	}
	return n
}

func connCost(c *flow.Conn) int64 {
	if c == nil {
		return 0
	}
	n := mapSlot + int64(unsafe.Sizeof(*c)) + text(c.Host) + text(c.Foreign)
	for i := range c.Layers {
		n += int64(unsafe.Sizeof(c.Layers[i])) + text(c.Layers[i].Host) + tlsCost(c.Layers[i].TLS)
	}
	if c.Process != nil {
		p := c.Process
		n += int64(unsafe.Sizeof(*p)) + text(p.Name) + text(p.Path) + text(p.User) + text(p.Cgroup) + text(p.Container) + text(p.Unit)
	}
	if c.Device != nil { // which many connections share
		n += int64(unsafe.Sizeof(*c.Device)) + text(c.Device.MAC) + text(c.Device.Name)
	}
	if c.Server != nil {
		n += int64(unsafe.Sizeof(*c.Server)) + text(c.Server.Err) + tlsCost(c.Server.TLS)
	}
	return n
}

func tlsCost(t *flow.TLS) int64 {
	if t == nil {
		return 0
	}
	n := int64(unsafe.Sizeof(*t)) + int64(cap(t.Hello)) + int64(2*cap(t.Versions)) + texts(t.ALPN) +
		text(t.ServerName) + text(t.JA3) + text(t.JA4) + text(t.Protocol) + text(t.VerifyErr)
	for _, c := range t.Chain {
		n += int64(unsafe.Sizeof(c)) + int64(cap(c))
	}
	return n
}

func text(s string) int64 { return int64(len(s)) }

func texts(ss []string) int64 {
	n := int64(cap(ss)) * int64(unsafe.Sizeof(""))
	for _, s := range ss {
		n += text(s)
	}
	return n
}

// bodiesOf returns the numbers of the bodies that f refers to; 0 is none.
func bodiesOf(f *flow.Flow) (out [4]uint64) {
	for i, ref := range refsOf(f) {
		if ref != nil {
			out[i] = ref.Segment
		}
	}
	return out
}

// refsOf returns what f says of its bodies; nil is none.
func refsOf(f *flow.Flow) (out [4]*flow.BodyRef) {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		out = [4]*flow.BodyRef{&d.RequestBody, &d.ResponseBody, d.OriginalRequestBody, d.OriginalResponseBody}
	case *flow.Messages:
		out[0] = &d.Log
	}
	return out
}
