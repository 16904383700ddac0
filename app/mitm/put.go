package mitm

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"transom/filter"
	"transom/flow"
)

// A put is one flow on its way into the builder.
type put struct {
	*builder
	w      *Writer
	ctx    context.Context
	bodies filter.Bodies
	f      *flow.Flow
	alone  bool // f is none that was seen
	kind   string
	meta   flowMeta
	ended  time.Time // that mitmproxy's form says
}

// Takes reports whether a format has a place for a flow.
func Takes(f *flow.Flow, format int) bool {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.Request != nil && d.Request.Method != ""
	case *flow.DNS:
		return format >= 17
	case *flow.Messages:
		return network(d.Kind) != "udp" || format >= 18
	}
	return false
}

// detail puts what is of the protocol, and reports false for what has no place.
func (p *put) detail(ws *flow.Flow) bool {
	format, skipped := p.w.o.Format, &p.w.skipped
	switch d := p.f.Detail.(type) {
	case *flow.HTTP:
		p.kind = "http"
		if d.Request == nil || d.Request.Method == "" {
			skipped.Unreadable++
			return false
		}
		p.http(d, ws)
		return true
	case *flow.DNS:
		p.kind = "dns"
		switch {
		case format < 17:
			skipped.Format++
		case p.dns(d):
			return true
		default:
			skipped.Unreadable++
		}
	case *flow.Messages:
		p.kind = network(d.Kind)
		if p.kind == "udp" && format < 18 {
			skipped.Format++
			return false
		}
		p.stream(d)
		return true
	default:
		skipped.Connections++
	}
	return false
}

// common puts what all flows have. ws is a WebSocket that is in f, or nil.
func (p *put) common(ws *flow.Flow) error {
	format, f := p.w.o.Format, p.f
	c, err := p.w.conn(f.Conn)
	if err != nil {
		return err
	}
	p.fill(ws)
	meta, err := json.Marshal(&p.meta)
	if err != nil {
		return fmt.Errorf("write flow %s: %w", f.ID, err)
	}
	if format >= 16 {
		p.keyTime("timestamp_created", notZero(f.Start))
	}
	if format >= 14 {
		p.keyText("comment", "")
	}
	at := p.open(tagDict)
	if f.Conn != nil {
		p.keyText(metaConn, c.meta)
	}
	p.put(tagText, meta)
	p.key(metaFlow)
	p.close(at)
	p.key("metadata")
	if format >= 13 {
		p.keyText("marked", "")
	} else {
		p.keyBool("marked", false)
	}
	p.keyNull("is_replay")
	p.keyBool("intercepted", false)
	copy(p.room(len(c.ends)), c.ends)
	p.error(f, ws)
	p.keyText("id", f.ID.String())
	p.keyText("type", p.kind)
	p.keyInt("version", int64(format))
	return nil
}

// error puts why f ended early, or else why the WebSocket did that it began.
func (p *put) error(f, ws *flow.Flow) {
	if f.Err == "" && f.State != flow.Failed && ws != nil {
		f = ws
	}
	if f.Err == "" && f.State != flow.Failed {
		p.keyNull("error")
		return
	}
	at := p.open(tagDict)
	p.keyTime("timestamp", notZero(f.End))
	p.keyText("msg", f.Err)
	p.close(at)
	p.key("error")
}

// fill puts into the metadata what is of f as a whole.
func (p *put) fill(ws *flow.Flow) {
	f := p.f
	p.meta.Rev, p.meta.Tags = f.Rev, texts(f.Tags)
	p.meta.State = stateMeta(f)
	p.meta.Open = f.End.IsZero()
	if p.w.o.Format < 16 && !f.Start.IsZero() {
		p.meta.Start = f.Start.UnixNano()
	}
	if !f.End.IsZero() && !p.ended.Equal(f.End) && f.Err == "" && f.State != flow.Failed {
		p.meta.End = f.End.UnixNano()
	}
	if ws != nil && p.meta.Messages != nil {
		mine, theirs := f.Err != "" || f.State == flow.Failed, ws.Err != "" || ws.State == flow.Failed
		p.meta.Messages.Failed = theirs && !mine
		if theirs && mine { // there is place for one
			p.meta.Messages.Err = (*text)(&ws.Err)
		}
	}
}

// stateMeta returns the state of f, if the error doesn't say it.
func stateMeta(f *flow.Flow) *flow.State {
	said := flow.Done
	if f.Err != "" || f.State == flow.Failed {
		said = flow.Failed
	}
	if f.State == said {
		return nil
	}
	s := f.State
	return &s
}
