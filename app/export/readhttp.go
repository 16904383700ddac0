package export

import (
	"strings"
	"time"

	"transom/flow"
)

type jsonHTTP struct {
	Request          *jsonHead      `json:"request"`
	OriginalRequest  *jsonHead      `json:"original_request"`
	Interim          []jsonHead     `json:"interim"`
	Response         *jsonHead      `json:"response"`
	OriginalResponse *jsonHead      `json:"original_response"`
	FirstByte        *time.Duration `json:"first_byte"`
	Began            jsonID         `json:"began"`
}

// jsonHead is one of a request or of a response.
type jsonHead struct {
	Method   string      `json:"method"`
	URL      string      `json:"url"`
	Target   *string     `json:"target"`
	Raw      string      `json:"raw"`
	Status   int         `json:"status"`
	Reason   string      `json:"reason"`
	HTTP     string      `json:"http"`
	Headers  [][2]string `json:"headers"`
	Trailers [][2]string `json:"trailers"`
	Latin1   bool        `json:"latin1"`
	Body     *jsonBody   `json:"body"`
}

func (j *jsonHTTP) http(f *jsonFlow, b *building) *flow.HTTP {
	h := &flow.HTTP{Notes: f.Notes, Began: j.Began.ID}
	if r := j.Request; r != nil {
		h.Request, h.RequestTrailer = r.request(), r.header(r.Trailers)
		h.RequestBody = b.ref("request", r.Body)
	}
	if r := j.Response; r != nil {
		h.Response, h.ResponseTrailer = r.response(), r.header(r.Trailers)
		h.ResponseBody = b.ref("response", r.Body)
	} else {
		h.ResponseBody = b.ref("response", nil) // its head was not printed
	}
	if r := j.OriginalRequest; r != nil {
		if r.HTTP != "" || r.Raw != "" {
			h.OriginalRequest = r.request()
		}
		if r.Body != nil {
			ref := b.ref("original_request", r.Body)
			h.OriginalRequestBody = &ref
		}
	}
	if r := j.OriginalResponse; r != nil {
		if r.HTTP != "" {
			h.OriginalResponse = r.response()
		}
		if r.Body != nil {
			ref := b.ref("original_response", r.Body)
			h.OriginalResponseBody = &ref
		}
	}
	for i := range j.Interim {
		h.Interim = append(h.Interim, *j.Interim[i].response())
	}
	if j.FirstByte != nil {
		h.FirstByte = f.Start.Add(*j.FirstByte)
	}
	return h
}

func (j *jsonHead) request() *flow.RequestHead {
	r := &flow.RequestHead{Method: bytesOf(j.Method, j.Latin1), Proto: protoOf(j.HTTP), Header: j.header(j.Headers)}
	if j.Raw != "" {
		r.Raw = []byte(bytesOf(j.Raw, j.Latin1))
		return r
	}
	r.Scheme, r.Authority, r.Target = cut(bytesOf(j.URL, j.Latin1))
	if j.Target != nil {
		r.Target = bytesOf(*j.Target, j.Latin1)
	}
	if host, ok := r.Header.Lookup("Host"); ok {
		r.Authority = host
	} else if r.Proto < flow.HTTP2 {
		r.Authority = "" // the URL has the connection's name
	}
	return r
}

func (j *jsonHead) response() *flow.ResponseHead {
	return &flow.ResponseHead{Status: j.Status, Reason: bytesOf(j.Reason, j.Latin1), Proto: protoOf(j.HTTP), Header: j.header(j.Headers)}
}

func (j *jsonHead) header(pairs [][2]string) (h flow.Header) {
	for _, p := range pairs {
		h = append(h, flow.Field{Name: bytesOf(p[0], j.Latin1), Value: bytesOf(p[1], j.Latin1)})
	}
	return h
}

func protoOf(name string) flow.Proto {
	for p := flow.HTTP10; p <= flow.HTTP3; p++ {
		if p.String() == name {
			return p
		}
	}
	return flow.HTTP11
}

// cut takes a URL apart, as address has put it together.
func cut(u string) (scheme, authority, target string) {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return "", "", u
	}
	if s, web := strings.CutPrefix(scheme, "ws"); web { // a conversation's
		scheme = "http" + s
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest, target = rest[:i], rest[i:]
	}
	return scheme, rest, target
}
