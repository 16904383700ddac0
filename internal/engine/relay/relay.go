// Package relay moves bytes that nobody parses, both ways between a client and
// a server, and carries over how each side ends: FIN as FIN, RST as RST.
//
// Between two sockets the kernel moves them (platform/splice); anything else,
// and anything that message handlers want to see, goes through a pooled buffer.
package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"transom/flow"
	"transom/internal/engine/leg"
	"transom/message"
	"transom/platform/splice"
)

// A Side is one end of a relay. Prefix has been read from Conn already and goes
// to the other side first.
type Side struct {
	Conn   net.Conn
	Prefix []byte
}

// A Relay is what the relays of one proxy share.
type Relay struct {
	Pipes *splice.Pool  // nil moves everything through buffers
	Idle  time.Duration // how long nothing may move; 0 is for ever
}

// A Result says what was relayed and how each side ended.
type Result struct {
	Bytes          [2]int64 // written to the server, to the client
	Silent         bool     // nobody said anything
	Client, Server flow.Close

	ClientErr, ServerErr error // that told so; nil for a FIN and a timeout
}

// Copy relays both ways until both sides have ended, ctx is done, or nothing
// has moved for too long. It closes both, if ctx ends it with a reset.
func (r *Relay) Copy(ctx context.Context, client, server Side) Result {
	return r.run(ctx, client, server, way{sent: new(counts)})
}

// endingsMax is how much Endings drops before it has had enough.
const endingsMax = 64 << 20

// Endings relays no bytes, only how the sides end: it is for a connection whose
// conversation is over. When the client has ended its side, and the server has
// been told, nobody is left to hear the server. If ctx ends it, nothing is cut,
// and nothing is reset.
func (r *Relay) Endings(ctx context.Context, client, server Side) Result {
	var dropped atomic.Int64
	return r.run(ctx, client, server, way{sent: new(counts), over: true, pass: func(_ message.Direction, p []byte) error {
		if dropped.Add(int64(len(p))) > endingsMax {
			return errTooMuch
		}
		return nil
	}})
}

// errTooMuch ends a side that goes on speaking to nobody.
var errTooMuch = errors.New("more was sent behind the end than is read")

// Messages relays as Copy does, through mw: each read is one message. info is
// what handlers are told of the connection.
func (r *Relay) Messages(ctx context.Context, info *flow.Conn, client, server Side, mw message.Middleware) Result {
	sent := new(counts)
	h := mw(message.HandlerFunc(func(_ context.Context, _ *flow.Conn, m *message.Message) error {
		to := server.Conn
		if m.Dir == message.ToClient {
			to = client.Conn
		}
		return sent.write(to, m.Dir, m.Payload)
	}))
	return r.run(ctx, client, server, way{sent: sent, pass: func(dir message.Direction, p []byte) error {
		return h.Message(ctx, info, &message.Message{Dir: dir, Payload: p})
	}})
}

// counts are of bytes written, by direction. Handlers may write to either side
// from any goroutine.
type counts [2]atomic.Int64

func (s *counts) write(to net.Conn, dir message.Direction, p []byte) error {
	n, err := to.Write(p)
	s[dir&1].Add(int64(n))
	return err
}

// A pump moves one direction.
type pump struct {
	dir message.Direction
	src Side
	dst net.Conn
	way
	pipes   *splice.Pool
	act     *activity
	heard   bool   // src said something
	srcEnd  ending // how src ended
	dstEnd  ending // how dst failed, if it did
	timeout bool
}

// An ending is how a side ended, and the error that told so, if one did.
type ending struct {
	how flow.Close
	err error
}

func endingOf(err error) ending {
	if err == io.EOF {
		return ending{how: flow.FIN}
	}
	return ending{leg.Ended(err), err}
}

// A way is how a relay moves bytes.
type way struct {
	sent   *counts
	pass   func(message.Direction, []byte) error // nil: write to dst
	finish func(message.Direction) error         // nil: nothing is held back
	over   bool                                  // nothing is said any more; the client's end is that of both
}

func (r *Relay) run(ctx context.Context, client, server Side, w way) Result {
	stop := context.AfterFunc(ctx, func() {
		if w.over {
			client.Conn.Close()
			server.Conn.Close()
			return
		}
		leg.Reset(client.Conn) // what is cut is not to look complete
		leg.Reset(server.Conn)
	})
	defer stop()
	act := &activity{idle: r.Idle}
	act.touch()
	up := &pump{dir: message.ToServer, src: client, dst: server.Conn, way: w, pipes: r.Pipes, act: act}
	down := &pump{dir: message.ToClient, src: server, dst: client.Conn, way: w, pipes: r.Pipes, act: act}
	var wg sync.WaitGroup
	wg.Go(func() {
		up.run()
		if w.over {
			server.Conn.Close()
		}
	})
	down.run()
	wg.Wait()
	client.Conn.Close()
	server.Conn.Close()
	result := Result{
		Bytes:  [2]int64{w.sent[message.ToServer].Load(), w.sent[message.ToClient].Load()},
		Silent: !up.heard && !down.heard,
		Client: flow.Timeout, Server: flow.Timeout,
	}
	if !up.timeout && !down.timeout {
		client, server := first(up.srcEnd, down.dstEnd), first(down.srcEnd, up.dstEnd)
		result.Client, result.ClientErr = client.how, client.err
		result.Server, result.ServerErr = server.how, server.err
	}
	return result
}

// first returns how a side ended: what it said itself, unless that was only
// our own doing.
func first(own, seen ending) ending {
	if own.how == flow.NotClosed || own.how == flow.ClosedByUs && seen.how != flow.NotClosed {
		return seen
	}
	return own
}

// run moves bytes until src ends or dst fails, and ends dst as src ended.
func (p *pump) run() {
	readErr, writeErr := p.move()
	if p.finish != nil {
		if writeErr == nil && !p.timeout && leg.Ended(readErr) == flow.FIN {
			writeErr = p.finish(p.dir)
		} else {
			defer p.finish(p.dir) // there is nobody left to tell of its error
		}
	}
	switch {
	case p.timeout:
		p.src.Conn.Close()
		p.dst.Close()
	case writeErr != nil:
		p.dstEnd = endingOf(writeErr)
		leg.Reset(p.src.Conn)
		leg.Reset(p.dst)
	case readErr == io.EOF:
		p.srcEnd = endingOf(readErr)
		if err := leg.CloseWrite(p.dst); err != nil && !errors.Is(err, net.ErrClosed) {
			p.dstEnd = endingOf(err)
		}
	case p.over && errors.Is(readErr, net.ErrClosed): // the other pump is done with both
	default:
		p.srcEnd = endingOf(readErr)
		if p.srcEnd.how == flow.FIN { // cut short, as TLS without close_notify is
			if err := leg.Truncate(p.dst); err != nil && !errors.Is(err, net.ErrClosed) {
				p.dstEnd = endingOf(err)
			}
			return
		}
		leg.Reset(p.dst)
		leg.Reset(p.src.Conn)
	}
}

// move returns io.EOF as readErr when src ended well.
func (p *pump) move() (readErr, writeErr error) {
	if len(p.src.Prefix) > 0 {
		if err := p.put(p.src.Prefix); err != nil {
			return nil, err
		}
	}
	if p.pass == nil {
		if readErr, writeErr, ok := p.splice(); ok {
			p.timeout = errors.Is(readErr, os.ErrDeadlineExceeded) || errors.Is(writeErr, os.ErrDeadlineExceeded)
			return readErr, writeErr
		}
	}
	b := buffer{}
	defer b.release()
	for {
		if err := p.act.arm(p.src.Conn); err != nil {
			return err, nil
		}
		n, err := p.src.Conn.Read(b.next())
		if n > 0 {
			p.act.touch()
			if err := p.put(b.got(n)); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if !p.act.expired() {
				continue // the other direction has moved since
			}
			p.timeout = true
		}
		if err != nil {
			return err, nil
		}
	}
}

func (p *pump) put(b []byte) error {
	p.heard = true
	if p.pass != nil {
		return p.pass(p.dir, b)
	}
	return p.sent.write(p.dst, p.dir, b)
}

const (
	bufferSize = 32 << 10
	slightSize = 2 << 10
)

// buffers are lent to directions that are moved in user space.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// A buffer is large while much comes, and small while one waits: an idle
// direction holds little.
type buffer struct {
	slight [slightSize]byte
	lent   *[bufferSize]byte
	grow   bool // the last read filled what it was given
}

// next is what to read into.
func (b *buffer) next() []byte {
	if b.grow && b.lent == nil {
		b.lent = buffers.Get().(*[bufferSize]byte)
	}
	if b.lent == nil {
		return b.slight[:]
	}
	return b.lent[:]
}

// got is what a read gave. It is valid until next.
func (b *buffer) got(n int) []byte {
	b.grow = n >= slightSize
	if b.lent == nil {
		return b.slight[:n]
	}
	if b.grow {
		return b.lent[:n]
	}
	copy(b.slight[:], b.lent[:n])
	b.release()
	return b.slight[:n]
}

func (b *buffer) release() {
	if b.lent != nil {
		buffers.Put(b.lent)
		b.lent = nil
	}
}

// activity is when something last moved in either direction, so that a relay
// times out only when both are idle.
type activity struct {
	idle time.Duration
	last atomic.Int64 // Unix nanoseconds
}

func (a *activity) touch() {
	if a.idle > 0 {
		a.last.Store(time.Now().UnixNano())
	}
}

// arm sets c's read deadline to when the relay will have been idle too long.
func (a *activity) arm(c net.Conn) error {
	if a.idle <= 0 {
		return nil
	}
	return c.SetReadDeadline(a.deadline())
}

func (a *activity) expired() bool {
	return time.Since(time.Unix(0, a.last.Load())) >= a.idle
}
