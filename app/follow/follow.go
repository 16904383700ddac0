// Package follow reads what flows carry while it comes: what is new of their
// bodies and messages since one last looked, in parts that mean something to
// who made them: events of text/event-stream, messages of gRPC, messages of a
// log, and otherwise text that is not cut within a character. It shows nothing
// and waits for nothing.
package follow

import (
	"context"
	"io"
	"iter"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/message"
)

// A Stream is one of the sequences of bytes that a flow carries.
type Stream uint8

// The streams of a flow, in the order they are read. The first four are those
// of flow.HTTP.
const (
	OriginalRequest Stream = iota
	Request
	OriginalResponse
	Response
	Log // of flow.Messages
	streams
)

// String returns the word that names s in JSON.
func (s Stream) String() string {
	return [...]string{"original_request", "request", "original_response", "response", "log"}[s]
}

// A Part is a piece of a stream. Put together in order, the Data of all parts
// of a body are the body. A part without Data says that nothing more is to
// come: Truncated or Err says why.
type Part struct {
	Of     Stream
	Offset int64  // in the stream
	Size   int64  // bytes of the stream that this part stands for; with Err, that are missing
	Data   []byte // of a body; valid until the next part

	Event   *Event         // Data is one event of text/event-stream
	RPC     *RPC           // Data is one message of gRPC
	Message *message.Entry // from the log; At is since the flow began, Payload valid until the next part

	Truncated bool  // the store keeps nothing more: its limit was reached
	Err       error // the store can't give what it had kept
}

// A Place is how far one has come in a flow. The zero Place is the beginning.
type Place struct {
	streams [streams]place
	at      time.Duration // of the last message
}

// A place is how far one has come in a stream.
type place struct {
	segment uint64 // which body it is
	offset  int64
	cut     cutter // nil until it is known
	at      int64  // what was returned
	seen    int64  // what was looked at
	loose   bool   // the part is too large, and returned in pieces
	over    bool   // nothing more is to come
}

const (
	window  = 64 << 10 // what is looked at at a time
	maxPart = 1 << 20  // of a part that means something
)

// A Reader reads from a store. It belongs to one goroutine.
type Reader struct {
	Store       filter.Bodies
	StreamsOnly bool // leave out bodies that Streams says no to

	window, part, head []byte
}

// Next yields what of f has been kept since p, and moves p on. Of an open flow
// it leaves what is not a whole part yet; and of one that has just begun,
// everything, since middleware can still make something else of it.
func (r *Reader) Next(ctx context.Context, f *flow.Flow, p *Place) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		if f.State == flow.Open && f.Rev == 0 {
			return
		}
		w := &walk{Reader: r, ctx: ctx, ended: f.State != flow.Open, place: p, yield: yield}
		switch d := f.Detail.(type) {
		case *flow.HTTP:
			w.http(d)
		case *flow.Messages:
			w.log(d.Log)
		}
		if cap(r.part) > window {
			r.part = nil // one large part is not to be paid for ever
		}
	}
}

// A walk is one call of Next. Its methods report whether it goes on.
type walk struct {
	*Reader
	ctx   context.Context
	ended bool
	place *Place
	yield func(Part) bool
	end   int64 // of the stream that is read
}

func (w *walk) http(h *flow.HTTP) bool {
	var request, response flow.Header
	if h.Request != nil {
		request = h.Request.Header
	}
	if h.Response != nil {
		response = h.Response.Header
	}
	wasRequest, wasResponse := request, response
	if h.OriginalRequest != nil {
		wasRequest = h.OriginalRequest.Header
	}
	if h.OriginalResponse != nil {
		wasResponse = h.OriginalResponse.Header
	}
	return w.body(OriginalRequest, wasRequest, h.OriginalRequestBody) &&
		w.body(Request, request, &h.RequestBody) &&
		w.body(OriginalResponse, wasResponse, h.OriginalResponseBody) &&
		w.body(Response, response, &h.ResponseBody)
}

// open returns a reader of the body that ref names, or nil if there is nothing
// to read. It is read as far as it is kept now, since ref may be of a while
// ago, but not on and on: who adds to an open flow tells so.
func (w *walk) open(of Stream, ref *flow.BodyRef) (b io.ReadSeekCloser, goesOn bool) {
	if ref == nil || *ref == (flow.BodyRef{}) {
		return nil, true
	}
	p := &w.place.streams[of]
	if p.segment != ref.Segment || p.offset != ref.Offset {
		*p = place{segment: ref.Segment, offset: ref.Offset} // it was sent anew
	}
	if p.over {
		return nil, true
	}
	b, err := w.Store.OpenBody(w.ctx, *ref)
	if err != nil {
		return nil, w.fail(of, ref, err)
	}
	if w.end, err = b.Seek(0, io.SeekEnd); err != nil {
		b.Close()
		return nil, w.fail(of, ref, err)
	}
	return b, true
}

// fail returns that the stream can't be read any further.
func (w *walk) fail(of Stream, ref *flow.BodyRef, err error) bool {
	p := &w.place.streams[of]
	missing := ref.Size - p.at
	if missing <= 0 {
		return true
	}
	p.over = true
	return w.yield(Part{Of: of, Offset: p.at, Size: missing, Err: err})
}

// over returns that nothing more of the stream is kept, if so.
func (w *walk) over(of Stream, ref *flow.BodyRef) bool {
	p := &w.place.streams[of]
	if !ref.Truncated {
		return true
	}
	p.over = true
	return w.yield(Part{Of: of, Offset: p.at, Truncated: true})
}

// body returns what is new of a body.
func (w *walk) body(of Stream, h flow.Header, ref *flow.BodyRef) bool {
	if w.StreamsOnly && !Streams(h) {
		return true
	}
	b, goesOn := w.open(of, ref)
	if b == nil {
		return goesOn
	}
	defer b.Close()
	p := &w.place.streams[of]
	if p.cut == nil {
		p.cut = cutterFor(h)
	}
	for {
		n, err := w.look(b, p.seen)
		if err != nil {
			return w.fail(of, ref, err)
		}
		k, whole := p.cut.cut(w.window[:n])
		p.seen += int64(k)
		if k == 0 {
			break // at the end, or within a character
		}
		if goesOn, err = w.looked(of, b, k, whole); err != nil {
			return w.fail(of, ref, err)
		} else if !goesOn {
			return false
		}
	}
	if w.ended || ref.Truncated {
		if goesOn, err := w.pieces(of, b, w.end, true); err != nil {
			return w.fail(of, ref, err)
		} else if !goesOn {
			return false
		}
		return w.over(of, ref)
	}
	return true
}

// looked returns what is to be returned once k bytes more were looked at: the
// part, if it is whole, or what there is of one that is too large.
func (w *walk) looked(of Stream, b io.ReadSeeker, k int, whole bool) (goesOn bool, err error) {
	p := &w.place.streams[of]
	p.loose = p.loose || p.seen-p.at > maxPart
	switch {
	case p.loose:
		p.loose = !whole
		return w.pieces(of, b, p.seen, whole)
	case !whole:
		return true, nil
	}
	data := w.window[:k]
	if p.seen-p.at != int64(k) {
		if data, err = w.between(b, p.at, p.seen); err != nil {
			return false, err
		}
	}
	part := Part{Of: of, Offset: p.at, Size: p.seen - p.at, Data: data}
	p.cut.read(&part)
	p.at = p.seen
	return w.yield(part), nil
}

// pieces returns what there is up to end, as it comes. last says that nothing
// follows.
func (w *walk) pieces(of Stream, b io.ReadSeeker, end int64, last bool) (goesOn bool, err error) {
	p := &w.place.streams[of]
	for p.at < end {
		data, err := w.between(b, p.at, min(end, p.at+window))
		if err != nil {
			return false, err
		}
		n, _ := (pieces{}).cut(data)
		if n == 0 && !last {
			break
		}
		if n == 0 || last && p.at+int64(len(data)) == end {
			n = len(data)
		}
		part := Part{Of: of, Offset: p.at, Size: int64(n), Data: data[:n]}
		p.at += int64(n)
		p.seen = max(p.seen, p.at)
		if !w.yield(part) {
			return false, nil
		}
	}
	return true, nil
}

// look fills the window with what stands at off, as far as there is something.
func (w *walk) look(b io.ReadSeeker, off int64) (n int, err error) {
	if w.window == nil {
		w.window = make([]byte, window)
	}
	n = int(min(window, w.end-off))
	if n <= 0 {
		return 0, nil
	}
	if _, err := b.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	return io.ReadFull(b, w.window[:n])
}

// between reads the bytes between two offsets.
func (w *walk) between(b io.ReadSeeker, from, to int64) ([]byte, error) {
	if n := int(to - from); cap(w.part) < n {
		w.part = make([]byte, max(n, window))
	}
	if _, err := b.Seek(from, io.SeekStart); err != nil {
		return nil, err
	}
	data := w.part[:to-from]
	_, err := io.ReadFull(b, data)
	return data, err
}

// log returns the messages that have come to a log.
func (w *walk) log(ref flow.BodyRef) bool {
	b, goesOn := w.open(Log, &ref)
	if b == nil {
		return goesOn
	}
	defer b.Close()
	p := &w.place.streams[Log]
	if _, err := b.Seek(p.at, io.SeekStart); err != nil {
		return w.fail(Log, &ref, err)
	}
	final := w.ended || ref.Truncated
	base, before := w.place.at, time.Duration(0)
	for e, err := range message.ReadLog(io.LimitReader(b, w.end-p.at)) {
		if err != nil {
			return w.fail(Log, &ref, err)
		}
		if int64(len(e.Payload)) < e.Size-e.Cut && !final {
			return true
		}
		w.head = message.AppendHead(w.head[:0], &e, before)
		before = e.At
		e.At += base
		part := Part{Of: Log, Offset: p.at, Size: int64(len(w.head) + len(e.Payload)), Message: &e}
		p.at += part.Size
		w.place.at = e.At
		if !w.yield(part) {
			return false
		}
	}
	if final {
		return w.over(Log, &ref)
	}
	return true
}
