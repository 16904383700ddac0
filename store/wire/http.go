package wire

import (
	"time"

	"transom/flow"
)

func (w *writer) http(h *flow.HTTP, start time.Time) {
	begun := w.begin()
	w.request(h.Request)
	w.response(h.Response)
	w.body(&h.RequestBody)
	w.body(&h.ResponseBody)
	w.time(h.FirstByte, start)
	w.request(h.OriginalRequest)
	w.response(h.OriginalResponse)
	w.mayBody(h.OriginalRequestBody)
	w.mayBody(h.OriginalResponseBody)
	w.number(uint64(len(h.Interim)))
	for i := range h.Interim {
		w.response(&h.Interim[i])
	}
	w.fields(h.RequestTrailer)
	w.fields(h.ResponseTrailer)
	w.texts(h.Notes)
	w.mayID(h.Began)
	w.end(begun)
}

func (r *reader) http(start time.Time) *flow.HTTP {
	h := &flow.HTTP{Request: r.request(), Response: r.response(), RequestBody: r.body(), ResponseBody: r.body(), FirstByte: r.time(start)}
	h.OriginalRequest, h.OriginalResponse = r.request(), r.response()
	h.OriginalRequestBody, h.OriginalResponseBody = r.mayBody(), r.mayBody()
	for range r.count(2) {
		if one := r.response(); one != nil {
			h.Interim = append(h.Interim, *one)
		}
	}
	h.RequestTrailer, h.ResponseTrailer, h.Notes, h.Began = r.fields(), r.fields(), r.texts(), r.mayID()
	return h
}

func (w *writer) request(h *flow.RequestHead) {
	if h == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.text(h.Method)
	w.text(h.Scheme)
	w.text(h.Authority)
	w.text(h.Target)
	w.octet(uint8(h.Proto))
	w.bytes(h.Raw)
	w.header(h.Header, h.Raw)
	w.text(h.Protocol)
	w.h2(h.H2)
	w.end(begun)
}

func (r *reader) request() *flow.RequestHead {
	b, ok := r.block()
	if !ok {
		return nil
	}
	h := &flow.RequestHead{Method: b.text(), Scheme: b.text(), Authority: b.text(), Target: b.text(), Proto: flow.Proto(b.octet())}
	raw := b.text()
	h.Raw, h.Header, h.Protocol, h.H2 = octets(raw), b.header(raw), b.text(), b.h2()
	return h
}

func (w *writer) response(h *flow.ResponseHead) {
	if h == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.integer(int64(h.Status))
	w.text(h.Reason)
	w.octet(uint8(h.Proto))
	w.bytes(h.Raw)
	w.header(h.Header, h.Raw)
	w.h2(h.H2)
	w.end(begun)
}

func (r *reader) response() *flow.ResponseHead {
	b, ok := r.block()
	if !ok {
		return nil
	}
	h := &flow.ResponseHead{Status: b.small(), Reason: b.text(), Proto: flow.Proto(b.octet())}
	raw := b.text()
	h.Raw, h.Header, h.H2 = octets(raw), b.header(raw), b.h2()
	return h
}

func (w *writer) h2(h *flow.H2Head) {
	if h == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.number(uint64(h.Stream))
	w.fields(h.Pseudo)
	w.priority(h.Priority)
	w.number(uint64(len(h.TableSizes)))
	for _, n := range h.TableSizes {
		w.number(uint64(n))
	}
	w.end(begun)
}

func (r *reader) h2() *flow.H2Head {
	b, ok := r.block()
	if !ok {
		return nil
	}
	h := &flow.H2Head{Stream: uint32(b.within(1<<32 - 1)), Pseudo: b.fields(), Priority: b.priority()}
	if n := b.count(1); n > 0 {
		h.TableSizes = make([]uint32, n)
		for i := range h.TableSizes {
			h.TableSizes[i] = uint32(b.within(1<<32 - 1))
		}
	}
	return h
}

func (w *writer) priority(p *flow.H2Priority) {
	if p == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.number(uint64(p.Parent))
	w.truth(p.Exclusive)
	w.octet(p.Weight)
	w.end(begun)
}

func (r *reader) priority() *flow.H2Priority {
	b, ok := r.block()
	if !ok {
		return nil
	}
	return &flow.H2Priority{Parent: uint32(b.within(1<<32 - 1)), Exclusive: b.truth(), Weight: b.octet()}
}
