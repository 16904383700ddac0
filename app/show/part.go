package show

import (
	"strconv"
	"time"

	"transom/app/export"
	"transom/app/follow"
	"transom/app/view"
	"transom/flow"
	"transom/message"
)

// flushAt is how much is gathered of the parts of one flow before it goes out.
const flushAt = 32 << 10

// parts shows what of f has come since place: as JSON all of it, for a person
// what makes sense part by part. The rest a person is shown at the end.
func (p *printer) parts(f *flow.Flow, place *follow.Place) {
	now := f.End
	if f.State == flow.Open {
		now = time.Now()
	}
	for part := range p.reader.Next(p.ctx, f, place) {
		if p.o.JSON {
			p.b = export.AppendData(p.b, f, &part, now)
			p.b = append(p.b, '\n')
		} else {
			p.part(f, &part, now)
		}
		if len(p.b) >= flushAt && p.flush() != nil {
			return
		}
	}
}

// part prints one part: which flow it is of, which way it went, and what it is.
func (p *printer) part(f *flow.Flow, part *follow.Part, now time.Time) {
	m := part.Message
	if m != nil {
		now = f.Start.Add(m.At)
	}
	p.subject(f, now)
	p.gap()
	p.text(cyan, arrow(part), 0)
	switch {
	case part.Err != nil:
		p.word(plain, Size(part.Size))
		p.gap()
		p.text(red, "is not shown: "+part.Err.Error(), maxReason)
		p.b = append(p.b, '\n')
	case part.Truncated:
		p.word(dim, "what follows is not kept")
		p.b = append(p.b, '\n')
	case m != nil:
		p.message(f, m)
	case part.RPC != nil:
		p.word(plain, Size(int64(len(part.RPC.Payload))))
		if part.RPC.Compressed {
			p.word(dim, "compressed")
		}
		if part.RPC.Trailers {
			p.word(dim, "trailers")
		}
		about := view.About{}
		if x, ok := f.Detail.(*flow.HTTP); ok {
			about = aboutOf(x, part.Of)
		}
		about.Part = true
		data := part.Data
		if p.o.View != "grpc" && p.asked() {
			data = part.RPC.Payload
		}
		p.shown("grpc", about, data, int64(len(data)))
	case part.Event != nil:
		p.word(plain, part.Event.Type)
		if part.Event.ID != "" {
			p.word(dim, "id "+part.Event.ID)
		}
		p.shown("", view.About{Response: true}, []byte(part.Event.Data), int64(len(part.Event.Data)))
	default:
		p.word(plain, Size(part.Size))
		p.shown(plainly(part.Data, false), view.About{Response: true}, part.Data, part.Size) // may begin and end anywhere
	}
}

// arrow says which way a part went.
func arrow(p *follow.Part) string {
	if p.Message != nil {
		return [...]string{">", "<"}[p.Message.Dir&1]
	}
	switch p.Of {
	case follow.OriginalRequest:
		return "> was:"
	case follow.Request:
		return ">"
	case follow.OriginalResponse:
		return "< was:"
	case follow.Response:
		return "<"
	}
	return "-" // both ways
}

// message prints a message.
func (p *printer) message(f *flow.Flow, m *message.Entry) {
	data, all := m.Payload, m.Size
	if op := export.OpName(f.Type(), m.Op); op != "" {
		p.word(plain, op)
	}
	if code, reason, ok := export.CloseCode(f.Type(), m); ok {
		p.word(plain, strconv.Itoa(code))
		data, all = reason, all-2
	} else {
		p.word(plain, Size(m.Size))
	}
	if m.Changed {
		p.word(dim, "changed")
	}
	if m.Dropped {
		p.word(dim, "not passed on")
	}
	if m.Injected {
		p.word(dim, "injected")
	}
	if m.Encoded {
		p.word(dim, "encoded")
	}
	as := ""
	if f.Type() != "websocket" {
		as = plainly(data, int64(len(data)) < all) // TCP knows no messages
	}
	p.shown(as, view.About{Response: true}, data, all)
}

// shown ends the line and prints of data what is to be shown, in the view called
// as, or in the one that fits. all is how much there was.
func (p *printer) shown(as string, about view.About, data []byte, all int64) {
	if p.asked() {
		as = p.o.View
	}
	data = p.cut(as, data)
	about.Cut = int64(len(data)) < all
	if about.Cut {
		p.word(dim, Size(int64(len(data)))+" shown")
	}
	p.b = append(p.b, '\n')
	if _, whole := p.content(about, as, data); !whole {
		p.b = append(p.b, "      …\n"...)
	}
}

// asked reports whether one view is asked for.
func (p *printer) asked() bool { return p.o.View != "" && p.o.View != "auto" }
