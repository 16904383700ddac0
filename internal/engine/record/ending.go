package record

import (
	"errors"
	"time"

	"transom/exchange"
	"transom/flow"
)

// An exchange ends once, by whichever of these comes first:
//
//   - the response, if it has no body or something takes the connection over
//   - the end of the response's body and of the request's (tap.End)
//   - an error of the handler
//   - the next exchange of an HTTP/1 connection, or the connection's end
//
// Who sets live.finished, under the lock, calls finish without it.

// settle ends the exchanges before the next one of HTTP/1: their responses have
// been sent, and if nobody said what became of a request's body, it was given
// up.
func (c *Conn) settle() {
	c.mu.Lock()
	first := c.open.first
	c.mu.Unlock()
	if first == nil {
		return
	}
	for _, e := range c.unfinished() {
		if x, ok := e.(*live); ok {
			x.settle()
		}
	}
}

func (x *live) settle() {
	x.mu.Lock()
	finish := !x.finished && x.responded && x.finalTap().done()
	x.finished = x.finished || finish
	x.mu.Unlock()
	if finish {
		x.finish()
	}
}

// fail ends the exchange without a response of the handler's, or returns the one that
// the client is told by, with which it ends.
func (x *live) fail(err error) (ours *exchange.Response) {
	var told *Answered
	if !errors.As(err, &told) {
		x.cut(err.Error())
		return nil
	}
	x.mu.Lock()
	x.failed, x.err = true, err.Error()
	x.mu.Unlock()
	x.respond(told.Response)
	return told.Response
}

// abandon implements ender.
func (x *live) abandon(err error) {
	x.settle()
	why := "the connection ended before the exchange did"
	if err != nil {
		why += ": " + err.Error()
	}
	x.cut(why)
}

// cut ends the exchange, if it has not ended, as failed: for the reason that it has
// failed for already, if it has.
func (x *live) cut(why string) {
	x.mu.Lock()
	finish := !x.finished
	if finish && !x.failed {
		x.failed, x.err = true, why
	}
	x.finished = true
	x.mu.Unlock()
	if finish {
		x.finish()
	}
}

// finalTap is on the response's body as it is sent.
func (x *live) finalTap() *tap {
	if x.replaced[1] {
		return x.respOut
	}
	return x.respIn
}

// answeredLocked reports whether the response has been read to its end.
func (x *live) answeredLocked() bool {
	if !x.responded {
		return false
	}
	final := x.finalTap()
	return final.done() && final.trouble() == nil && !final.givenUp()
}

// settledLocked reports whether the exchange has just ended: something else
// took the connection over; or the response has ended, and the request's body
// has been read or given up; or the response failed.
func (x *live) settledLocked() bool {
	if x.finished || !x.responded {
		return false
	}
	final := x.finalTap()
	switch {
	case x.taken:
		x.finished = true
	case final.done():
		requestDone := x.reqIn.done() && x.reqOut.done()
		x.finished = requestDone || final.trouble() != nil || final.givenUp()
	}
	return x.finished
}

// finish publishes the exchange as it ended. Only who set finished calls it.
func (x *live) finish() {
	k := x.kept
	k.flow = x.start.flow
	k.flow.End, k.flow.Detail = time.Now(), &k.http
	x.mu.Lock()
	k.flow.Rev = x.rev + 1
	x.describeLocked(&k.http)
	x.judgeLocked(&k.flow)
	x.mu.Unlock()
	x.c.leave(x)
	x.c.publish(&k.flow)
	x.reqIn.close()
	x.reqOut.close()
	x.respIn.close()
	x.respOut.close()
}

// describeLocked fills in what passed.
func (x *live) describeLocked(h *flow.HTTP) {
	h.Request = &x.kept.req
	if x.sent != nil {
		h.Request, h.OriginalRequest = x.sent, &x.kept.req
	}
	if x.respIn != nil && (h.Response == nil || !x.got.Equal(h.Response)) {
		got := x.got
		h.OriginalResponse = &got
	}
	if h.Response == nil { // middleware failed after the server had answered
		h.Response, h.OriginalResponse = h.OriginalResponse, nil
	}
	h.RequestBody, h.OriginalRequestBody, h.RequestTrailer = bodies(&x.reqIn, x.reqOut, x.replaced[0])
	h.ResponseBody, h.OriginalResponseBody, h.ResponseTrailer = bodies(x.respIn, x.respOut, x.replaced[1])
	h.Interim, h.FirstByte, h.Notes = x.interim, x.firstByte, x.notes
}

// bodies names a body as it was sent and, if it was replaced, as it came.
func bodies(in, out *tap, replaced bool) (sent flow.BodyRef, original *flow.BodyRef, trailer flow.Header) {
	if !replaced {
		if in == nil {
			return sent, nil, nil
		}
		return in.ref(), nil, in.trailer
	}
	if in != nil {
		ref := in.ref()
		original = &ref
	}
	return out.ref(), original, out.trailer
}

// judgeLocked says whether the exchange ended well.
func (x *live) judgeLocked(f *flow.Flow) {
	f.Conn, f.State, f.Err = x.conn, flow.Done, x.err
	if x.failed {
		f.State = flow.Failed
		return
	}
	if x.taken {
		return
	}
	final := x.finalTap()
	switch {
	case final.trouble() != nil:
		f.State, f.Err = flow.Failed, "response body: "+final.trouble().Error()
	case final.givenUp():
		f.State, f.Err = flow.Failed, "the response was not sent to its end"
	case x.reqIn.trouble() != nil && !x.reqIn.late:
		f.State, f.Err = flow.Failed, "request body: "+x.reqIn.trouble().Error()
	case x.reqOut.trouble() != nil && !x.reqOut.late:
		f.State, f.Err = flow.Failed, "request body: "+x.reqOut.trouble().Error()
	case x.reqIn.neglected() && !x.replaced[0]:
		h := &x.kept.http
		h.Notes = append(h.Notes, "the request body was not read to its end")
	}
}
