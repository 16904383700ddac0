// Package show prints flows as they come, for a person or as JSON. It changes
// nothing and holds nothing up: when its output is slow it falls behind, and
// says how much it left out.
package show

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	"transom/app/export"
	"transom/flow"
	"transom/store"
)

// Options say how flows are shown.
type Options struct {
	// Detail is how much is shown:
	//
	//	0  nothing
	//	1  one line for each flow, and for each connection that failed
	//	2  heads, and connections that were passed or carried nothing
	//	3  beginnings, bodies cut short, and all connections
	//	4  bodies in full
	//
	// JSON lines have no bodies, but the same flows.
	Detail int
	JSON   bool         // one object a line, see package export
	Quiet  bool         // as Detail 0
	Color  bool         // see ColorFor
	Store  store.Store  // for bodies; nil shows none
	Log    *slog.Logger // is told of what was left out; nil for nobody
}

// Run prints news on w until there are no more: each flow with the number of
// snapshots that were missed before it. Flows are printed in the order they
// end. ctx is for reading bodies; what ends Run is the end of news, which is no
// error, or w failing. That error is the writer's: a pipe whose reader has left
// is syscall.EPIPE.
//
// Lines are written as soon as w takes them, and together while it does not.
func Run(ctx context.Context, w io.Writer, news iter.Seq2[*flow.Flow, int], o Options) error {
	if o.Quiet || o.Detail <= 0 {
		for range news {
		}
		return nil
	}
	out := newOutput(w)
	p := &printer{ctx: ctx, o: o, started: map[flow.ID]struct{}{}}
	skipped := missed{log: o.Log}
	for f, n := range news {
		skipped.add(n)
		p.b = p.b[:0]
		p.show(f)
		if err := out.put(p.b); err != nil {
			break
		}
	}
	skipped.report()
	return out.close()
}

// A printer turns flows into text.
type printer struct {
	ctx     context.Context
	o       Options
	b       []byte
	started map[flow.ID]struct{} // whose beginning has been shown
	scratch []byte
}

// maxStarted bounds what is remembered of flows whose end may have been missed.
const maxStarted = 1 << 16

// show prints what is new about f.
func (p *printer) show(f *flow.Flow) {
	if p.o.Detail < level(f) {
		return
	}
	if p.o.Detail >= 3 {
		p.begin(f)
	}
	if f.State == flow.Open {
		return
	}
	if p.o.JSON {
		p.json(f, export.End)
		return
	}
	p.line(f)
	if p.o.Detail >= 2 {
		p.details(f)
	}
}

// begin shows that f has begun, once, also when that is learned at its end.
func (p *printer) begin(f *flow.Flow) {
	if _, ok := f.Detail.(*flow.Connection); ok {
		return // recorded when it has ended
	}
	_, shown := p.started[f.ID]
	if f.State != flow.Open {
		delete(p.started, f.ID)
	} else if !shown {
		if len(p.started) >= maxStarted {
			clear(p.started)
		}
		p.started[f.ID] = struct{}{}
	}
	switch {
	case shown:
	case p.o.JSON:
		p.json(f, export.Start)
	default:
		p.startLine(f)
	}
}

func (p *printer) json(f *flow.Flow, event string) {
	p.b = export.AppendJSON(p.b, f, event)
	p.b = append(p.b, '\n')
}

// level is the least detail at which f is shown.
func level(f *flow.Flow) int {
	c, ok := f.Detail.(*flow.Connection)
	switch {
	case !ok:
		return 1
	case c.Flows > 0:
		return 3 // its flows are shown
	case f.State == flow.Failed:
		return 1
	case c.Action == "pass" || c.Reason == "":
		return 2
	}
	return 1
}

// missed counts what was left out, and says so at most once a second.
type missed struct {
	log  *slog.Logger
	n    int
	last time.Time
}

func (m *missed) add(n int) {
	if n == 0 {
		return
	}
	m.n += n
	if now := time.Now(); now.Sub(m.last) >= time.Second {
		m.last = now
		m.report()
	}
}

func (m *missed) report() {
	if m.n > 0 && m.log != nil {
		m.log.Warn("flows are not shown: the output is too slow for them", "flows", m.n)
	}
	m.n = 0
}
