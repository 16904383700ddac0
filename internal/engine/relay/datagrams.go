package relay

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"transom/flow"
	"transom/internal/engine/leg"
	"transom/message"
	"transom/platform"
)

// Datagrams relays a conversation of datagrams, each Read and Write of one, until it
// was silent for too long, ctx is done, or a side fails. Both sides are closed then.
// Nothing is retried: a datagram that can't be sent now is lost, as it would be
// without us.
type Datagrams struct {
	Client, Server net.Conn
	// Once is how long both may be silent, and Stream the same once the client has
	// gone on after an answer; 0 is for ever.
	Once, Stream time.Duration
	// Pass is told of each datagram before it is sent, which it does by calling
	// Send; nil just sends.
	Pass func(dir message.Direction, p []byte) error

	sent    counts
	lost    atomic.Int64
	answers atomic.Bool  // the server has answered
	stream  atomic.Bool  // and the client has gone on
	last    atomic.Int64 // when something passed, Unix nanoseconds
	hurry   atomic.Int64 // a shorter bound of silence, if not 0
	silent  atomic.Bool  // it ended of that
	timer   *time.Timer
	timing  sync.Mutex
}

// A DatagramResult says what was relayed, and how a side failed, if one did.
type DatagramResult struct {
	Bytes          [2]int64
	Lost           int64 // datagrams that could not be sent
	Client, Server flow.Close
	Err            error // that told so
}

// packets are lent to conversations for as long as a datagram is on its way: a silent
// one would hold 128 KiB otherwise, where it has 10 KiB
// (BenchmarkDatagramsSilent).
var packets = sync.Pool{New: func() any { return new(platform.Packet) }}

// Run relays. It is called once.
func (d *Datagrams) Run(ctx context.Context) DatagramResult {
	stop := context.AfterFunc(ctx, d.close)
	defer stop()
	d.touch()
	d.arm()
	defer d.disarm()
	var up, down failure
	var wg sync.WaitGroup
	wg.Go(func() { up = d.pump(message.ToServer, d.Client, d.Server) })
	down = d.pump(message.ToClient, d.Server, d.Client)
	wg.Wait()
	r := DatagramResult{Bytes: [2]int64{d.sent[0].Load(), d.sent[1].Load()}, Lost: d.lost.Load()}
	if d.silent.Load() || ctx.Err() != nil {
		return r
	}
	for _, f := range []failure{up, down} {
		how := leg.Ended(f.err)
		switch {
		case f.err == nil || errors.Is(f.err, net.ErrClosed): // the other one has failed
		case f.of == message.ToServer:
			r.Server, r.Err = how, f.err
		default:
			r.Client, r.Err = how, f.err
		}
	}
	return r
}

// A failure is an error and which side it is of.
type failure struct {
	of  message.Direction // towards that side
	err error
}

// pump moves one direction until a side fails.
func (d *Datagrams) pump(dir message.Direction, from, to net.Conn) failure {
	defer d.close()
	for {
		buf, n, err := read(from)
		if err != nil {
			return failure{dir ^ 1, err}
		}
		if strange(from) {
			packets.Put(buf)
			continue
		}
		d.passes(dir)
		if d.Pass != nil {
			err = d.Pass(dir, buf[:n])
		} else {
			err = d.Send(dir, buf[:n])
		}
		packets.Put(buf)
		if err != nil {
			return failure{dir, err}
		}
	}
}

// read takes a buffer when there is something to read, if the conn can tell.
func read(c net.Conn) (*platform.Packet, int, error) {
	if r, ok := c.(interface {
		ReadPooled(pool *sync.Pool) (*platform.Packet, int, error)
	}); ok {
		return r.ReadPooled(&packets)
	}
	buf := packets.Get().(*platform.Packet)
	n, err := c.Read(buf[:])
	if err != nil {
		packets.Put(buf)
		return nil, 0, err
	}
	return buf, n, nil
}

// strange reports whether what was read last is of somebody else than c is connected
// to. A socket with a client's address can be found, before it is connected, for what
// another server answers to the same port.
func strange(c net.Conn) bool {
	s, ok := c.(*platform.PacketConn)
	if !ok {
		return false
	}
	from, peer := s.Sender(), leg.AddrPort(c.RemoteAddr())
	return from.IsValid() && (from.Port() != peer.Port() || from.Addr() != peer.Addr().WithZone(""))
}

// Send sends one datagram. Its error says that the side has failed.
func (d *Datagrams) Send(dir message.Direction, p []byte) error {
	to := d.Server
	if dir == message.ToClient {
		to = d.Client
	}
	n, err := to.Write(p)
	switch {
	case err == nil:
		d.sent[dir&1].Add(int64(n))
		return nil
	case loses(err):
		d.lost.Add(1)
		return nil
	}
	return err
}

// loses reports whether err says that this datagram can't be sent, and nothing of
// the next: it is too long, there is no room, a firewall of this host drops it.
func loses(err error) bool {
	return errors.Is(err, syscall.EMSGSIZE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EPERM)
}

func (d *Datagrams) close() {
	d.Client.Close()
	d.Server.Close()
}

// passes notes that something passes.
func (d *Datagrams) passes(dir message.Direction) {
	d.touch()
	switch {
	case dir == message.ToClient:
		if !d.answers.Load() {
			d.answers.Store(true)
		}
	case !d.stream.Load() && d.answers.Load():
		d.stream.Store(true)
	}
}

func (d *Datagrams) touch() { d.last.Store(time.Now().UnixNano()) }

// bound is how long both may be silent.
func (d *Datagrams) bound() time.Duration {
	bound := d.Once
	if d.stream.Load() {
		bound = d.Stream
	}
	if h := time.Duration(d.hurry.Load()); h > 0 && (bound <= 0 || h < bound) {
		return h
	}
	return bound
}

// never is longer than any relay lasts.
const never = time.Duration(1<<63 - 1)

// arm begins to watch for silence.
func (d *Datagrams) arm() {
	d.timing.Lock()
	defer d.timing.Unlock()
	d.timer = time.AfterFunc(never, d.look)
	d.waitLocked(0)
}

func (d *Datagrams) disarm() {
	d.timing.Lock()
	defer d.timing.Unlock()
	d.timer.Stop()
	d.timer = nil
}

// waitLocked looks again when both may have been silent for too long.
func (d *Datagrams) waitLocked(since time.Duration) {
	if b := d.bound(); b > 0 {
		d.timer.Reset(b - since)
	}
}

// look ends the relay if it was silent for too long.
func (d *Datagrams) look() {
	d.timing.Lock()
	defer d.timing.Unlock()
	since := time.Since(time.Unix(0, d.last.Load()))
	switch b := d.bound(); {
	case d.timer == nil: // it is over
	case b > 0 && since >= b && d.waits():
		d.timer.Reset(again)
	case b > 0 && since >= b:
		d.silent.Store(true)
		d.close()
	default:
		d.waitLocked(since)
	}
}

// again is when to look again for what waits.
const again = time.Millisecond

// waits reports whether the client has sent something that is not passed on yet, as
// far as its conn can tell.
func (d *Datagrams) waits() bool {
	c, ok := d.Client.(interface{ Waits() bool })
	return ok && c.Waits()
}

// Hurry bounds the silence from now on by no more than t, which is not 0. It may be
// called by any goroutine, before Run as well.
func (d *Datagrams) Hurry(t time.Duration) {
	d.hurry.Store(int64(t))
	d.timing.Lock()
	defer d.timing.Unlock()
	if d.timer != nil {
		d.timer.Reset(0)
	}
}
