package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"transom/flow"
	"transom/platform"
)

// Options say how who looks is started.
type Options struct {
	Log *slog.Logger // nil is silence
	// UID and GID are the user that it runs as, if this process may choose; 0 is the
	// one it runs as itself.
	UID, GID int
	// Capabilities are what it has of this process's, by the kernel's numbers. Without
	// any it sees processes of its own user alone.
	Capabilities []uintptr
	// Here says which clients are on this host; nil is all.
	Here func(netip.Addr) bool
	// Program and Args start it; nothing is /proc/self/exe and "helper find". It calls
	// Serve.
	Program string
	Args    []string
}

// A Client asks whose sockets are whose. Methods may be called from any goroutine.
type Client struct {
	pair  *net.UnixConn
	cmd   *exec.Cmd
	gone  chan struct{} // closed when that process has ended; nil without one
	log   *slog.Logger
	here  func(netip.Addr) bool
	asks  sync.WaitGroup
	done  chan struct{} // closed by Close
	wake  chan struct{} // of capacity one
	close func() error

	mu      sync.Mutex
	queue   []asked // from head on
	head    int
	lost    bool
	missed  int       // questions without time for an answer, that nobody was told of
	told    time.Time // when somebody was told last
	batch   []asked   // of the goroutine that asks
	message []byte    // likewise
}

// asked is a question, and who wants to know.
type asked struct {
	question
	to func(*flow.Process)
}

// Start starts a process that looks, in this network, with rights that this process
// has now.
func Start(charter Charter, o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Program == "" {
		o.Program, o.Args = "/proc/self/exe", []string{"helper", "find"}
	}
	near, far, err := platform.NewPair("finder", "proxy")
	if err != nil {
		return nil, err
	}
	defer far.Close()
	c := newClient(near, &o)
	if err = c.spawn(&o, far); err == nil {
		c.gone = make(chan struct{})
		go func() {
			_ = c.cmd.Wait() // how it ended matters to nobody
			close(c.gone)
		}()
		err = c.send(charter)
	}
	if err != nil {
		near.Close()
		return nil, errors.Join(fmt.Errorf("start who looks for processes: %w", err), c.awaitEnd())
	}
	c.begin()
	return c, nil
}

// Connect returns a client of somebody who is given far and calls ServeOn: a process
// that is there in any case, whose end is no news.
func Connect(charter Charter, here func(netip.Addr) bool) (c *Client, far *os.File, err error) {
	near, far, err := platform.NewPair("finder", "proxy")
	if err != nil {
		return nil, nil, err
	}
	c = newClient(near, &Options{Here: here, Log: slog.New(slog.DiscardHandler)})
	if err := c.send(charter); err != nil {
		near.Close()
		far.Close()
		return nil, nil, err
	}
	c.begin()
	return c, far, nil
}

func newClient(near *net.UnixConn, o *Options) *Client {
	return &Client{pair: near, log: o.Log, here: o.Here, done: make(chan struct{}), wake: make(chan struct{}, 1)}
}

func (c *Client) begin() {
	c.close = sync.OnceValue(c.end)
	c.asks.Go(c.ask)
}

// spawn starts the process. A user that can't be had is done without.
func (c *Client) spawn(o *Options, far *os.File) error {
	try := func(as *syscall.Credential) error {
		c.cmd = exec.Command(o.Program, o.Args...)
		c.cmd.Args[0], c.cmd.Dir, c.cmd.Env, c.cmd.Stderr = "transom", "/", []string{}, os.Stderr
		c.cmd.ExtraFiles = []*os.File{far}
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: as, AmbientCaps: o.Capabilities}
		return c.cmd.Start()
	}
	if o.UID == 0 || o.UID == os.Getuid() {
		return try(nil)
	}
	err := try(&syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.GID)})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) {
		return try(nil)
	}
	return err
}

// charterMost is more than a charter has bytes.
const charterMost = 32 << 10

// send sends the first message.
func (c *Client) send(charter Charter) error {
	b, err := json.Marshal(charter)
	if err != nil {
		return err
	}
	if len(b) > charterMost {
		return fmt.Errorf("a charter of %d bytes is too long", len(b))
	}
	_, err = c.pair.Write(b)
	return err
}

// Here reports whether a client of this address would be asked for.
func (c *Client) Here(client netip.Addr) bool { return c.here == nil || c.here(client) }

// Ask finds out whose socket it is that has the address client, and speaks with dst. It
// doesn't wait: to is called once, by another goroutine or before Ask returns, with nil
// if it can't be known. It must not wait either. While too many ask the oldest go without.
func (c *Client) Ask(network string, client, dst netip.AddrPort, to func(*flow.Process)) {
	q := question{
		network == "udp",
		netip.AddrPortFrom(client.Addr().Unmap(), client.Port()),
		netip.AddrPortFrom(dst.Addr().Unmap().WithZone(""), dst.Port()),
	}
	if !q.client.IsValid() || !q.dst.IsValid() || q.client.Addr().Is4() != q.dst.Addr().Is4() {
		to(nil)
		return
	}
	c.mu.Lock()
	if c.lost {
		c.mu.Unlock()
		to(nil)
		return
	}
	oldest := c.putLocked(asked{q, to})
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default: // it is being woken
	}
	if oldest.to != nil {
		oldest.to(nil)
		c.tellMissed()
	}
}

// putLocked adds a question to the queue. If that is full the oldest one leaves it: what
// it asks for has been closed more likely than the others.
func (c *Client) putLocked(q asked) (oldest asked) {
	if len(c.queue)-c.head >= queueMost {
		oldest = c.queue[c.head]
		c.queue[c.head] = asked{}
		c.head++
	}
	if c.head >= queueMost { // so that each is moved once
		n := copy(c.queue, c.queue[c.head:])
		clear(c.queue[n:])
		c.queue, c.head = c.queue[:n], 0
	}
	c.queue = append(c.queue, q)
	return oldest
}

// tellMissed says, once in a minute, that questions go without an answer.
func (c *Client) tellMissed() {
	c.mu.Lock()
	c.missed++
	n, now := c.missed, time.Now()
	say := now.Sub(c.told) >= time.Minute
	if say {
		c.missed, c.told = 0, now
	}
	c.mu.Unlock()
	if say {
		c.log.Warn("there is no time to find the programs behind all connections: some are recorded without", "since_last", n)
	}
}

// ask asks until the end, a batch at a time.
func (c *Client) ask() {
	for {
		batch := c.take()
		if len(batch) == 0 {
			select {
			case <-c.wake:
				continue
			case <-c.done:
				c.lose(nil)
				return
			}
		}
		if err := c.answered(batch); err != nil {
			c.lose(err)
			return
		}
	}
}

// take takes what waits, as far as it fits in one message, and the youngest first: while
// more is asked than can be answered the others are too late anyway.
func (c *Client) take() []asked {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := max(len(c.queue)-batchMost, c.head)
	c.batch = append(c.batch[:0], c.queue[left:]...)
	clear(c.queue[left:])
	c.queue = c.queue[:left]
	if left == c.head {
		c.queue, c.head = c.queue[:0], 0
	}
	return c.batch
}

// answered gets the answers to a batch and hands them on, each once, also if it fails.
func (c *Client) answered(batch []asked) (err error) {
	defer func() {
		for _, q := range batch {
			if q.to != nil {
				q.to(nil)
			}
		}
	}()
	c.message = c.message[:0]
	for i := range batch {
		c.message = batch[i].append(c.message)
	}
	if _, err := c.pair.Write(c.message); err != nil {
		return err
	}
	var room [answerMost + 1]byte
	for range batch {
		n, err := c.pair.Read(room[:])
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return err
		}
		a, err := parseAnswer(room[:n])
		if err != nil {
			return err
		}
		if int(a.index) >= len(batch) || batch[a.index].to == nil {
			return errWire
		}
		if a.known&behind != 0 {
			c.tellMissed()
		}
		to := batch[a.index].to
		batch[a.index].to = nil
		to(a.found())
	}
	return nil
}

// found is the process of an answer, with what follows from it; nil if there is none.
func (a *answer) found() *flow.Process {
	if a.known&known == 0 {
		return nil
	}
	p := a.process
	p.Container, p.Unit = Container(p.Cgroup), Unit(p.Cgroup)
	return &p
}

// lose answers all that are left, and all to come. why is nil at the end.
func (c *Client) lose(why error) {
	c.mu.Lock()
	c.lost = true
	rest := c.queue[c.head:]
	c.queue, c.head = nil, 0
	c.mu.Unlock()
	for _, q := range rest {
		q.to(nil)
	}
	select {
	case <-c.done: // which is why
		return
	default:
	}
	c.log.Warn("who looks for the programs behind connections is gone: they are recorded without", "err", why)
}

// Close ends the process and waits for it; not for ever, if somebody has stopped it.
func (c *Client) Close() error { return c.close() }

func (c *Client) end() error {
	close(c.done)
	err := c.pair.Close()
	c.asks.Wait()
	return errors.Join(err, c.awaitEnd())
}

// How long the process may take to end by itself, and then when it is killed, which
// only a busy machine or the kernel holds up.
const (
	endsWithin   = time.Second
	killedWithin = 10 * time.Second
)

// awaitEnd waits for the end of the process, whose connection is closed.
func (c *Client) awaitEnd() error {
	if c.gone == nil || c.ends(endsWithin) {
		return nil
	}
	if err := c.cmd.Process.Kill(); err != nil { // it may be another user's
		return fmt.Errorf("process %d, which looks for the programs behind connections, does not end: %w", c.cmd.Process.Pid, err)
	}
	if !c.ends(killedWithin) {
		return fmt.Errorf("process %d, which looks for the programs behind connections, does not end though it was killed", c.cmd.Process.Pid)
	}
	return nil
}

func (c *Client) ends(within time.Duration) bool {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-c.gone:
		return true
	case <-t.C:
		return false
	}
}
