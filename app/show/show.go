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
	"transom/app/follow"
	"transom/app/redact"
	"transom/app/view"
	"transom/filter"
	"transom/flow"
)

// Options say how flows are shown.
type Options struct {
	// Detail is how much is shown:
	//
	//	0  nothing
	//	1  one line for each flow, and for each connection that failed
	//	2  heads, and connections that were passed or carried nothing
	//	3  beginnings, streams as they come, bodies cut short, and all connections
	//	4  bodies in full
	//
	// JSON lines are of the same flows. From 3 on all that is kept of bodies and
	// messages is in lines of its own, as it comes. For that news must have
	// growth, as transom.Proxy.Follow has.
	Detail int
	JSON   bool          // one object a line, see package export
	Quiet  bool          // as Detail 0
	Color  bool          // see ColorFor
	View   string        // of bodies, by a name of package view's; empty is what fits each
	Schema *view.Schema  // of protobuf; nil is none
	Store  filter.Bodies // for bodies; nil shows none
	Log    *slog.Logger  // is told of what was left out; nil for nobody

	// Redact says what is taken out, nil nothing. Bodies and messages are then shown when
	// their flow has ended, since before that it isn't known what is in them.
	Redact *redact.Rules

	// Recorded says that the flows are from a recording: one that has not ended is shown
	// as far as it has come, times have their day, and lines begin with the end of the
	// flow's ID, which names it elsewhere.
	Recorded bool

	// Filter, if there is one, chooses flows: of one that does not match nothing is
	// shown. From Detail 3 on, where flows are shown while they grow, one is shown
	// from its beginning as soon as it matches, and then to its end.
	Filter *filter.Filter
}

// Run prints news on w until there are no more: each flow with the number of
// snapshots that were lost before it; a nil flow is that number alone. Flows are printed in the order they
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
	p := &printer{ctx: ctx, o: o, out: out, open: map[flow.ID]*follow.Place{}, chosen: choice{Options: &o, ctx: ctx}}
	if o.Redact != nil {
		p.redacted(o)
	}
	p.reader = follow.Reader{Store: p.o.Store, StreamsOnly: !o.JSON}
	skipped := missed{log: o.Log}
	for f, n := range news {
		skipped.add(n)
		if f != nil {
			p.show(f)
		}
		if p.flush() != nil {
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
	out     *output
	b       []byte                    // not put out yet
	open    map[flow.ID]*follow.Place // flows that were shown to begin, and how far they were
	reader  follow.Reader
	scratch []byte
	chosen  choice
	clean   *redact.Reader // nil: all is shown
}

// redacted has everything behind the choice of flows see them without their secrets.
func (p *printer) redacted(o Options) {
	if o.Detail < 3 {
		o.Store = nil // no need to look through what is not shown
	}
	p.clean = redact.NewReader(o.Redact, o.Store)
	if o.Store != nil {
		p.o.Store = p.clean
	}
}

// maxOpen bounds what is remembered of flows whose end may have been lost. Past
// it one is forgotten, and if it is still open it is shown from its beginning
// again.
const maxOpen = 1 << 16

// flush puts out what there is.
func (p *printer) flush() error {
	err := p.out.put(p.b)
	p.b = p.b[:0]
	return err
}

// show prints what is new about f.
func (p *printer) show(f *flow.Flow) {
	if p.o.Detail < Level(f) || f.State == flow.Open && p.o.Detail < 3 && !p.o.Recorded {
		return
	}
	if p.open[f.ID] == nil && !p.chosen.match(f) {
		return
	}
	if p.clean != nil {
		f = p.clean.Flow(p.ctx, f)
	}
	if p.o.Detail >= 3 && (p.o.JSON || !p.o.Recorded) {
		p.progress(f)
	}
	if f.State == flow.Open && !p.o.Recorded {
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
	if p.o.Detail >= 3 && p.o.Recorded && p.o.Store != nil {
		p.parts(f, new(follow.Place))
	}
}

// progress shows that f has begun, once, also when that is learned at its end,
// and what has come since f was shown.
func (p *printer) progress(f *flow.Flow) {
	if _, ok := f.Detail.(*flow.Connection); ok {
		return // recorded when it has ended
	}
	place := p.open[f.ID]
	if place == nil {
		place = new(follow.Place)
		if p.o.JSON {
			p.json(f, export.Start)
		} else {
			p.startLine(f)
		}
	}
	if f.State == flow.Open {
		p.remember(f.ID, place)
	} else {
		delete(p.open, f.ID)
	}
	if p.o.Store != nil {
		p.parts(f, place)
	}
}

func (p *printer) remember(id flow.ID, place *follow.Place) {
	if len(p.open) >= maxOpen {
		for some := range p.open {
			delete(p.open, some)
			break
		}
	}
	p.open[id] = place
}

func (p *printer) json(f *flow.Flow, event string) {
	p.b = export.AppendJSON(p.b, f, event)
	p.b = append(p.b, '\n')
}

// Level is the least Options.Detail at which f is shown.
func Level(f *flow.Flow) int {
	if m, ok := f.Detail.(*flow.Messages); ok && f.State == flow.Done && m.Bytes == [2]int64{} {
		return 2
	}
	c, ok := f.Detail.(*flow.Connection)
	switch {
	case !ok:
		return 1
	case c.Flows > 0 && (c.Type != "tls" || c.Reason == ""):
		return 3 // its flows are shown
	case f.State == flow.Failed:
		return 1
	case c.Action == "pass" || c.Reason == "":
		return 2
	}
	return 1
}

// missed counts what was lost, and says so at most once a second.
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
		m.log.Warn("flows are not shown: the output is too slow for them, and the store has dropped them", "flows", m.n)
	}
	m.n = 0
}
