package record

import (
	"sync"
	"time"

	"transom/flow"
)

// Which program of this host a client is, is found out beside its traffic. What begins
// is published without, if that is not known yet. What ends waits for it a little: it
// is in the store, and nobody but its subscribers waits.

// heldMost is how many flows of a connection that have ended may wait to be published.
const heldMost = 64

// A program is that of a connection, and of those within it.
type program struct {
	mu       sync.Mutex
	process  *flow.Process // nil until it is known
	answered bool
	settled  chan struct{} // closed when nothing waits any more
	over     bool          // that it is
	held     []held
	late     *time.Timer

	from, to *flow.Conn // a connection without and with the process
}

// held is a flow, and its recorder.
type held struct {
	r *Recorder
	f *flow.Flow
}

// Await says that Owned will tell which program the client is, and for how long flows
// wait for it. It is called before there are any; Settle is called after End.
func (c *Conn) Await(within time.Duration) {
	p := &program{settled: make(chan struct{})}
	c.program = p
	p.mu.Lock() // settle may come before p.late is there
	p.late = time.AfterFunc(within, func() { p.settle(nil) })
	p.mu.Unlock()
}

// Owned tells which program the client is, nil if that can't be known. Any goroutine may
// call it, at any time.
func (c *Conn) Owned(process *flow.Process) { c.program.settle(process) }

// Settle waits until what has ended is published.
func (c *Conn) Settle() { <-c.program.settled }

// Within begins to record a connection within c's, as Recorder.Conn does.
func (c *Conn) Within(info *flow.Conn) *Conn {
	return &Conn{r: c.r, info: info, program: c.program}
}

// publish publishes f, with the program.
func (c *Conn) publish(f *flow.Flow) {
	if c.program == nil {
		c.r.publish(f)
		return
	}
	if f.State != flow.Open && c.program.waits() {
		c.r.keep(f) // what it refers to is the store's from now on
		if c.program.hold(held{c.r, f}) {
			return
		}
	}
	c.program.publish(held{c.r, f})
}

// with is a connection with its program, as far as that is known.
func (c *Conn) with(info *flow.Conn) *flow.Conn {
	if c.program == nil || info == nil {
		return info
	}
	return c.program.with(info)
}

func (p *program) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.over && len(p.held) < heldMost
}

// hold has f wait, if there is anything to wait for.
func (p *program) hold(f held) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || len(p.held) >= heldMost {
		return false
	}
	p.held = append(p.held, f)
	return true
}

func (p *program) with(info *flow.Conn) *flow.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.process == nil || info.Process != nil:
		return info
	case p.from != info:
		p.from, p.to = info, info.WithProcess(p.process)
	}
	return p.to
}

// publish publishes a copy: others may have f in hand.
func (p *program) publish(h held) {
	f := *h.f
	if f.Conn != nil {
		f.Conn = p.with(f.Conn)
	}
	h.r.publish(&f)
}

// settle takes the answer, and publishes what waits for it. One that comes later is for
// what ends later.
func (p *program) settle(process *flow.Process) {
	p.mu.Lock()
	if p.process == nil {
		p.process = process
	}
	again := p.answered
	p.answered = true
	p.mu.Unlock()
	if again {
		return
	}
	p.late.Stop()
	defer close(p.settled)
	for {
		all := p.take()
		if all == nil {
			return
		}
		for _, h := range all {
			p.publish(h)
		}
	}
}

// take takes what waits. When that is nothing it is over.
func (p *program) take() []held {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.held
	p.held, p.over = nil, all == nil
	return all
}
