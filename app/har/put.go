package har

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"transom/app/export"
	"transom/flow"
	"transom/message"
	"transom/store"
)

var (
	errNoRequest = errors.New("request: there is none")
	errNoURL     = errors.New("request.url: there is none")
	errNoTime    = errors.New("startedDateTime: there is none")
)

// put makes flows of an entry, and puts them into the sink.
func (d *document) put(e *jsonEntry) error {
	switch {
	case e.Request == nil:
		return errNoRequest
	case e.Request.URL == "":
		return errNoURL
	case e.StartedDateTime.IsZero():
		return errNoTime
	}
	f := &flow.Flow{ID: d.id(e), Start: e.StartedDateTime.Time, State: flow.Done, Rev: 1}
	h := &flow.HTTP{Request: request(e.Request), RequestTrailer: header(e.Request.Trailers)}
	f.Detail = h
	f.Conn = d.conns.of(e, h.Request, f.ID)
	e.times(f, h)
	if e.Response.Status > 0 {
		h.Response, h.ResponseTrailer = response(&e.Response), header(e.Response.Trailers)
	} else {
		h.FirstByte = time.Time{}
	}
	if f.Err = string(e.Response.Error); f.Err == "" && h.Response == nil {
		f.Err = "no response was recorded"
	}
	if f.Err != "" {
		f.State = flow.Failed
	}
	return d.keep(e, f, h)
}

// id is the ID of an entry's flow: the same each time that the file is read, or one that has
// the entry, too.
func (d *document) id(e *jsonEntry) flow.ID {
	name := fmt.Sprintf("har %s %s %s", e.Connection, e.Request.Method, e.Request.URL)
	id := export.TimedID(name, e.StartedDateTime.Time)
	if d.ids == nil {
		d.ids = map[flow.ID]int{}
	}
	n := d.ids[id]
	if d.ids[id] = n + 1; n > 0 { // another one at the same time
		id = export.TimedID(fmt.Sprintf("%s %d", name, n), e.StartedDateTime.Time)
	}
	return id
}

// keep puts a flow with its bodies, and the WebSocket that it began.
func (d *document) keep(e *jsonEntry, f *flow.Flow, h *flow.HTTP) (err error) {
	var open []store.BodyWriter
	defer func() {
		for _, w := range open {
			err = errors.Join(err, w.Close())
		}
	}()
	store := func(data []byte) flow.BodyRef {
		w := d.to.NewBody()
		open = append(open, w)
		w.Write(data) // which never fails
		return w.Ref()
	}
	data, kept, err := e.Request.body()
	if err != nil {
		return err
	}
	h.RequestBody = size(e.Request.BodySize)
	if kept {
		h.RequestBody = store(data)
		undo(h, &h.Request.Header, "request", int64(len(data)))
	}
	if h.Response != nil {
		c := &e.Response.Content
		if data, kept, err = c.body(); err != nil {
			return err
		}
		h.ResponseBody = size(cmp.Or(e.Response.BodySize, c.Size))
		if kept {
			h.ResponseBody = store(data)
			undo(h, &h.Response.Header, "response", int64(len(data)))
		}
	}
	var messages *flow.Flow
	if len(e.Messages) > 0 || e.ResourceType == "websocket" {
		log, m, err := e.log(f)
		if err != nil {
			return err
		}
		m.Detail.(*flow.Messages).Log = store(log)
		h.Began, messages = m.ID, m
	}
	if err := d.to.Put(d.ctx, f); err != nil || messages == nil {
		return err
	}
	return d.to.Put(d.ctx, messages)
}

// size is the reference of a body that the file has nothing of.
func size(n number) flow.BodyRef {
	return flow.BodyRef{Size: n.int(), Truncated: n.int() > 0}
}

// undo makes a head right for a body that files have without its content codings.
func undo(h *flow.HTTP, head *flow.Header, of string, size int64) {
	if names := export.Codings(*head); len(names) > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("the %s came with Content-Encoding: %s; the HAR file has it without", of, strings.Join(names, ", ")))
		head.Del("Content-Encoding")
	}
	if said, ok := head.Lookup("Content-Length"); ok && said != strconv.FormatInt(size, 10) && size > 0 {
		head.Set("Content-Length", strconv.FormatInt(size, 10))
	}
}

// body returns what the file has of a body, and whether it has something.
func (r *jsonRequest) body() ([]byte, bool, error) {
	p := r.PostData
	switch {
	case p == nil:
		return nil, false, nil
	case p.Text != nil && (*p.Text != "" || len(p.Params) == 0):
		data, err := decode("request.postData", *p.Text, p.Encoding)
		return data, true, err
	case len(p.Params) > 0 && strings.HasPrefix(string(p.MimeType), "application/x-www-form-urlencoded"):
		var b strings.Builder
		for i, f := range p.Params {
			if i > 0 {
				b.WriteByte('&')
			}
			b.WriteString(url.QueryEscape(string(f.Name)) + "=" + url.QueryEscape(string(f.Value)))
		}
		return []byte(b.String()), true, nil
	}
	return nil, false, nil
}

func (c *content) body() ([]byte, bool, error) {
	if c.Text == nil {
		return nil, false, nil
	}
	data, err := decode("response.content", *c.Text, c.Encoding)
	return data, true, err
}

func decode(path string, text, encoding loose) ([]byte, error) {
	if !strings.EqualFold(string(encoding), "base64") {
		return []byte(text), nil
	}
	data, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s.text: %w", path, err)
	}
	return data, nil
}

// times sets when things were. Where the whole is not said it is the sum of the parts.
func (e *jsonEntry) times(f *flow.Flow, h *flow.HTTP) {
	t := &e.Timings
	before := t.Blocked.millis() + t.DNS.millis() + t.Connect.millis() + t.Send.millis() + t.Wait.millis()
	total := e.Time.millis()
	if total == 0 {
		total = before + t.Receive.millis()
	}
	f.End = f.Start.Add(total)
	h.FirstByte = f.Start.Add(min(before, total))
}

// log makes the log of a WebSocket's messages, and its flow.
func (e *jsonEntry) log(of *flow.Flow) ([]byte, *flow.Flow, error) {
	h := of.Detail.(*flow.HTTP)
	start := of.Start
	m := &flow.Messages{Kind: "websocket", Handshake: of.ID, Request: h.Request}
	f := &flow.Flow{ID: export.Behind(export.TimedID("websocket "+of.ID.String(), start), of.ID), Conn: of.Conn, Start: start, End: of.End, State: flow.Done, Rev: 1, Detail: m}
	var log []byte
	var before time.Duration
	for i, frame := range e.Messages {
		data := []byte(frame.Data)
		op := uint8(frame.Opcode.int())
		if op != 1 {
			// Chromium has bytes in base64, and others as they are.
			if b, err := base64.StdEncoding.DecodeString(string(frame.Data)); err == nil {
				data = b
			}
		}
		entry := message.Entry{Op: op, At: max(seconds(frame.Time).Sub(start), before), Size: int64(len(data))}
		switch frame.Type {
		case "send", "request":
			entry.Dir = message.ToServer
		case "receive", "response":
			entry.Dir = message.ToClient
		case "error":
			f.Err, f.State = string(frame.Data), flow.Failed
			continue
		default:
			return nil, nil, fmt.Errorf("_webSocketMessages[%d].type: %q is neither send nor receive", i, string(frame.Type))
		}
		m.Count[entry.Dir]++
		m.Bytes[entry.Dir] += entry.Size
		log = append(message.AppendHead(log, &entry, before), data...)
		before = entry.At
	}
	if end := start.Add(before); end.After(f.End) {
		f.End = end
	}
	return log, f, nil
}

// seconds is a time as Chromium has it.
func seconds(n number) time.Time {
	if n < 0 || n > 9e9 {
		return time.Time{}
	}
	whole := int64(n)
	return time.Unix(whole, int64((float64(n)-float64(whole))*1e9))
}

// conns has one connection for what the file says was one.
type conns map[[3]string]*flow.Conn

func (c *conns) of(e *jsonEntry, r *flow.RequestHead, first flow.ID) *flow.Conn {
	host, port := split(r)
	key := [3]string{string(e.Connection), string(e.ServerIPAddress), r.Scheme + "://" + host + ":" + strconv.Itoa(int(port))}
	if known := (*c)[key]; known != nil && key[0] != "" {
		return known
	}
	conn := &flow.Conn{ID: export.TimedID("connection of "+first.String(), e.StartedDateTime.Time), Start: e.StartedDateTime.Time, Network: "tcp", Host: host}
	addr, err := netip.ParseAddr(strings.Trim(string(e.ServerIPAddress), "[]"))
	if err != nil {
		addr = netip.Addr{}
	}
	conn.Dst = netip.AddrPortFrom(addr, port)
	proto := "http/1.1"
	if r.Proto >= flow.HTTP2 {
		proto = "h2"
	}
	conn.Layers = []flow.Layer{{Proto: proto, Host: host}}
	if key[0] != "" {
		if *c == nil {
			*c = conns{}
		}
		(*c)[key] = conn
	}
	return conn
}
