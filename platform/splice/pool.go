package splice

import "sync"

// bufferSize is what is moved at once where the kernel can't: less costs more
// CPU a byte, more costs cache.
const bufferSize = 128 << 10

type buffer [bufferSize]byte

// DefaultPipes is how many pipes a Pool lends at once if it isn't told. Without
// CAP_SYS_RESOURCE a user gets 16384 pages in pipes (fs.pipe-user-pages-soft).
const DefaultPipes = 128

// keepIdle is how many pipes wait for their next use; each is two descriptors.
const keepIdle = 64

// A Pool lends pipes and buffers to the directions in which bytes are flowing
// just now. Its methods may be called from any goroutine.
type Pool struct {
	buffers sync.Pool

	mu     sync.Mutex
	max    int
	lent   int
	idle   []*pipe
	closed bool
}

// NewPool returns a pool that lends at most pipes pipes at once; 0 is
// DefaultPipes, and a negative number none, so that all goes through buffers.
func NewPool(pipes int) *Pool {
	if pipes == 0 {
		pipes = DefaultPipes
	}
	p := &Pool{max: max(pipes, 0)}
	p.buffers.New = func() any { return new(buffer) }
	return p
}

// borrow returns an empty pipe, or nil when there is none to be had.
func (p *Pool) borrow() *pipe {
	p.mu.Lock()
	if p.lent >= p.max || p.closed {
		p.mu.Unlock()
		return nil
	}
	p.lent++
	if n := len(p.idle); n > 0 {
		out := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return out
	}
	p.mu.Unlock()
	out := newPipe()
	if out == nil {
		p.mu.Lock()
		p.lent--
		p.mu.Unlock()
	}
	return out
}

// giveBack takes a pipe back, for its next use if it is empty.
func (p *Pool) giveBack(b *pipe, empty bool) {
	p.mu.Lock()
	p.lent--
	keep := empty && !p.closed && len(p.idle) < keepIdle
	if keep {
		p.idle = append(p.idle, b)
	}
	p.mu.Unlock()
	if !keep {
		b.close()
	}
}

// Close closes the pipes that wait for use. Those that are lent are closed when
// they come back; a Copy that goes on uses buffers from then on.
func (p *Pool) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, b := range idle {
		b.close()
	}
	return nil
}
