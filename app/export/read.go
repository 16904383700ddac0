package export

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"transom/flow"
	"transom/message"
	"transom/store"
)

// maxLine bounds a line of JSON.
const maxLine = 64 << 20

// ReadJSON puts the flows that lines of --json tell of into to, as far as these have
// them: of bodies and messages what its "data" lines hold, and what else was seen is
// missing. A flow that began and has no end in r is one that was cut short. What was
// read before an error stays in to; the error says in which line, and at which byte.
func ReadJSON(ctx context.Context, r io.Reader, to Sink) error {
	in := &lines{ctx: ctx, to: to, open: map[flow.ID]*building{}, conns: map[flow.ID]*flow.Conn{}}
	err := in.read(bufio.NewReaderSize(r, 64<<10))
	return errors.Join(err, in.rest())
}

// errNoID is of a line that is about nothing.
var errNoID = errors.New("the flow has no id")

// lines are what is read.
type lines struct {
	ctx   context.Context
	to    Sink
	line  int
	at    int64 // where it begins
	open  map[flow.ID]*building
	order []flow.ID
	conns map[flow.ID]*flow.Conn
}

// A building is a flow whose end has not come.
type building struct {
	begun  *jsonFlow // nil if its beginning was not printed
	bodies map[string]*part
	before time.Duration // of the last message
}

// A part is a body that comes in pieces.
type part struct {
	store.BodyWriter
	missing bool
}

func (in *lines) read(r *bufio.Reader) error {
	var long []byte
	for {
		text, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull || len(long) > 0 {
			if long = append(long, text...); len(long) > maxLine {
				return in.fail(fmt.Errorf("the line is longer than %d bytes", maxLine))
			}
			if err == bufio.ErrBufferFull {
				continue
			}
			text = long
		}
		if err != nil && err != io.EOF {
			return in.fail(err)
		}
		in.line++
		if bad := in.one(text); bad != nil {
			return in.fail(bad)
		}
		in.at += int64(len(text))
		long = long[:0]
		if err == io.EOF {
			return nil
		}
	}
}

func (in *lines) fail(err error) error {
	return fmt.Errorf("JSON: line %d, at byte %d: %w", in.line, in.at, err)
}

// one reads a line.
func (in *lines) one(text []byte) error {
	if err := in.ctx.Err(); err != nil {
		return context.Cause(in.ctx)
	}
	blank := true
	for _, c := range text {
		blank = blank && (c == ' ' || c == '\n' || c == '\r' || c == '\t')
	}
	if blank {
		return nil
	}
	var f jsonFlow
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	if f.ID.IsZero() && (f.Event == Start || f.Event == Data || f.Event == End) {
		return errNoID
	}
	switch f.Event {
	case Start:
		in.of(f.ID.ID).begun = &f
		return nil
	case Data:
		var d jsonData
		if err := json.Unmarshal(text, &d); err != nil {
			return err
		}
		return in.data(&f, &d)
	case End:
		return in.end(&f, in.open[f.ID.ID])
	case "":
		if f.Type == "finding" || f.Type == "log" {
			return nil // of the program itself
		}
	}
	return fmt.Errorf("it is no flow as --json prints them: event %q", f.Event)
}

// of returns what is known of a flow.
func (in *lines) of(id flow.ID) *building {
	b := in.open[id]
	if b == nil {
		b = &building{bodies: map[string]*part{}}
		in.open[id] = b
		in.order = append(in.order, id)
	}
	return b
}

// data adds to a body, or a message to a log.
func (in *lines) data(f *jsonFlow, d *jsonData) error {
	b := in.of(f.ID.ID)
	if d.Part == "" {
		d.Part = "log"
	}
	p := b.bodies[d.Part]
	if p == nil || d.Part != "log" && d.Offset == 0 && p.Ref().Size > 0 { // it was sent anew
		if p != nil {
			if err := p.Close(); err != nil {
				return err
			}
		}
		p = &part{BodyWriter: in.to.NewBody()}
		b.bodies[d.Part] = p
	}
	if d.From == "" {
		p.missing = p.missing || d.Truncated || d.Error != ""
		_, err := p.Write(d.bytes())
		return err
	}
	return b.message(f, d, p)
}

// message adds a message to a log.
func (b *building) message(f *jsonFlow, d *jsonData, p *part) error {
	start := f.Start
	if b.begun != nil {
		start = b.begun.Start
	}
	if start.IsZero() { // its beginning was not printed: the first message is one
		f.Start = d.Time
		b.begun, start = f, d.Time
	}
	payload := d.payload()
	e := message.Entry{
		Changed: d.Changed, Dropped: d.Dropped, Injected: d.Injected, Encoded: d.Encoded,
		At: max(d.Time.Sub(start), b.before), Size: d.Size, Payload: payload,
	}
	switch d.From {
	case "client":
	case "server":
		e.Dir = message.ToClient
	default:
		return fmt.Errorf("from %q is neither client nor server", d.From)
	}
	var ok bool
	if e.Op, ok = opOf(d.Op); !ok {
		return fmt.Errorf("op %q is not known", d.Op)
	}
	e.Size = max(e.Size, int64(len(payload)))
	e.Cut = e.Size - int64(len(payload))
	if _, err := p.Write(message.AppendHead(nil, &e, b.before)); err != nil {
		return err
	}
	b.before = e.At
	_, err := p.Write(payload)
	return err
}

// opOf is the reverse of OpName.
func opOf(name string) (uint8, bool) {
	if name == "" {
		return 0, true
	}
	for op := range 256 {
		if OpName("websocket", uint8(op)) == name {
			return uint8(op), true
		}
	}
	return 0, false
}

// end puts a flow that is over, or that nothing more is known of.
func (in *lines) end(f *jsonFlow, b *building) error {
	if b == nil {
		b = &building{}
	}
	out, err := f.flow(in.conns, b)
	if err == nil {
		err = in.to.Put(in.ctx, out)
	}
	for _, p := range b.bodies {
		err = errors.Join(err, p.Close())
	}
	delete(in.open, f.ID.ID)
	return err
}

// rest puts flows whose end has not come.
func (in *lines) rest() (err error) {
	for _, id := range in.order {
		b := in.open[id]
		switch {
		case b == nil:
		case b.begun == nil || in.ctx.Err() != nil:
			for _, p := range b.bodies {
				err = errors.Join(err, p.Close())
			}
		default:
			if b.begun.Error == "" {
				b.begun.Error = "its end was not recorded"
			}
			err = errors.Join(err, in.end(b.begun, b))
		}
	}
	return err
}
