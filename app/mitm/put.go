package mitm

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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
	alone  bool  // f is none that was seen
	aside  value // what f.Foreign holds
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
	p.people(p.aside, func() {
		if f.Conn != nil {
			p.keyText(metaConn, c.meta)
		}
		p.put(tagText, meta)
		p.key(metaFlow)
	})
	copy(p.room(len(c.ends)), c.ends)
	p.error(f, ws)
	p.id()
	p.keyText("type", p.kind)
	p.keyInt("version", int64(format))
	return nil
}

// people puts what people and scripts have written to a flow, as far as it was put aside,
// and, as metadata, what ours does.
func (p *put) people(from value, ours func()) {
	format := p.w.o.Format
	if format >= 14 && !p.kept(from, "comment") {
		p.keyText("comment", "")
	}
	at := p.open(tagDict)
	ours()
	for name, v := range from.get("metadata").entries() {
		p.put(v.tag, v.b)
		p.key(name)
	}
	p.close(at)
	p.key("metadata")
	switch mark := from.get("marked"); {
	case format < 13:
		p.keyBool("marked", !mark.null())
	case mark.bool():
		p.keyText("marked", ":default:") // as mitmproxy has it that reads it as a text
	case !p.kept(from, "marked"):
		p.keyText("marked", "")
	}
	if !p.kept(from, "is_replay") {
		p.keyNull("is_replay")
	}
	if !p.kept(from, "intercepted") {
		p.keyBool("intercepted", false)
	}
}

// kept puts an entry that was put aside, and reports whether there was one.
func (p *put) kept(from value, name string) bool {
	v := from.get(name)
	if v.tag != 0 {
		p.put(v.tag, v.b)
		p.key(name)
	}
	return v.tag != 0
}

// id puts mitmproxy's own ID, if the flow's was made of it.
func (p *put) id() {
	if id := p.aside.get("id"); id.null() || idOf(id, p.f.Start) != p.f.ID || !p.kept(p.aside, "id") {
		p.keyText("id", p.f.ID.String())
	}
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
	p.unsaid()
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

// unsaid takes out of the metadata what is read from elsewhere: a mark is a tag, a comment
// and a replay are notes.
func (p *put) unsaid() {
	if mark := p.aside.get("marked"); p.w.o.Format >= 13 && !mark.null() {
		p.meta.Tags = less(p.meta.Tags, tagOf(mark))
	}
	for _, note := range notes(p.aside, nil) {
		if p.w.o.Format >= 14 || !strings.HasPrefix(note, commented) {
			p.meta.Notes = less(p.meta.Notes, note)
		}
	}
}

// less returns all but the last that is s.
func less(all []text, s string) []text {
	for i := len(all) - 1; i >= 0; i-- {
		if string(all[i]) == s {
			return slices.Delete(slices.Clone(all), i, i+1)
		}
	}
	return all
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
