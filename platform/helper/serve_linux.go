package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
)

const (
	pingPatience = 5 * time.Second
	applyWithin  = 10 * time.Second // what the kernel does in milliseconds
)

// ServeOptions are what Serve is given by the command.
type ServeOptions struct {
	Rights
	// Test is the self-test of a charter; nil is none. Its context ends with the
	// proxy.
	Test func(ctx context.Context, c Charter) error
	// Translated says, a line each, what firewalls make of a charter's Sources, so that
	// servers see others; nil is not to look. It is called now and then.
	Translated func(c Charter) ([]string, error)
	// Patience is how long the proxy may take to answer a ping before new
	// connections go past it; 0 is five seconds.
	Patience time.Duration
}

// Serve is the body of "helper serve": it answers requests until the proxy is gone,
// and then takes back what it has applied. An error has been told to the proxy; the
// process then exits with code 1, and with 0 if there is none. With any other end
// the watch starts a new helper.
func Serve(ctx context.Context, o ServeOptions) error {
	deafen()
	r, v, err := begin()
	if err != nil {
		return err
	}
	v.epoch = r.Epoch
	leash := os.NewFile(leashFD, "watch")
	if leash == nil {
		return fmt.Errorf("helper: descriptor %d is missing", leashFD)
	}
	defer leash.Close()
	unix.CloseOnExec(notesFD)
	notes := os.NewFile(notesFD, "memory")
	if notes == nil {
		return fmt.Errorf("helper: descriptor %d is missing", notesFD)
	}
	defer notes.Close()
	for _, f := range r.lock(notesFD + 1) {
		defer f.Close()
	}
	s, err := newServer(r, o, v, &memory{notes})
	if err != nil {
		_ = v.lost(err) // and returned: what is left to do is to exit
		return err
	}
	defer v.handOn()()
	return s.run(ctx, int(leash.Fd()))
}

// A server is a helper at work. One goroutine does everything but the self-test.
type server struct {
	charter Charter
	o       ServeOptions
	voice   *voice
	log     *slog.Logger
	steerer Steerer // nil if there is nothing to steer
	host    platform.Host
	sockets *preparer

	want      state // what the proxy asked for
	pulse     pulse
	refusals  ration
	applies   ration // what a proxy may ask for without end holds the kernel's locks
	proofs    ration // self-tests
	dirty     bool   // there is something to take back
	unwatched bool   // the watch is gone: nothing is captured any more

	testing      chan struct{} // held by the one self-test
	translations translations
	translated   bool           // it was looked for them when it began
	tests        sync.WaitGroup // and what else is done beside
}

func newServer(r role, o ServeOptions, v *voice, m Memory) (*server, error) {
	if err := o.keep(r.Capabilities, false); err != nil {
		return nil, err
	}
	log := v.log(&o.Rights)
	host, err := platform.Here(log)
	if err != nil {
		return nil, err
	}
	steerer, err := o.open(log, &r.Charter, m)
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	if o.Patience == 0 {
		o.Patience = pingPatience
	}
	return &server{
		charter: r.Charter, o: o, voice: v, log: log, steerer: steerer, host: host,
		sockets:  newPreparer(r.Charter.marks(), len(r.Charter.Answers) > 0),
		pulse:    pulse{every: min(pingEvery, o.Patience/2), patience: o.Patience},
		refusals: ration{most: 20, while: 10 * time.Second},
		applies:  ration{most: 20, while: 10 * time.Second},
		proofs:   ration{most: 1, while: time.Second},
		dirty:    r.Epoch > 1, // what an earlier helper left
		testing:  make(chan struct{}, 1),

		translations: translations{turn: make(chan struct{}, 1)},
	}, nil
}

// run answers until the proxy is gone.
func (s *server) run(ctx context.Context, leash int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.tests.Wait()
	defer cancel()
	err := s.voice.pair.on(func(fd int) error { return s.loop(ctx, fd, leash) })
	return errors.Join(err, s.end(ctx))
}

// loop returns when the proxy is gone. It looks after the pulse while nothing comes:
// who asks is alive.
func (s *server) loop(ctx context.Context, fd, leash int) error {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(leash)}}
	timeout := max(1, int(s.pulse.every/time.Millisecond/2))
	for greeted := false; ctx.Err() == nil; {
		if !greeted { // there may be no room in the queue of a proxy that was halted
			greeted = s.voice.say(report{kind: sayHello}, -1) == nil
		}
		s.watchTranslations(ctx)
		n, err := unix.Poll(poll, timeout)
		switch {
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("helper: wait for requests: %w", err)
		case err != nil || n == 0:
			s.tick(ctx)
			continue
		case poll[1].Revents != 0:
			poll[1] = unix.PollFd{Fd: -1}
			s.unwatch(ctx)
		}
		if poll[0].Revents != 0 && !s.answer(ctx, fd) {
			return nil
		}
	}
	return context.Cause(ctx)
}

// answer answers one message, and reports whether there may come more.
func (s *server) answer(ctx context.Context, fd int) bool {
	var buf [requestLen + 1]byte
	r, err := receive(fd, buf[:])
	switch {
	case errors.Is(err, unix.EAGAIN):
		return true
	case err != nil, r.n == 0 && r.has == 0 && !r.cut:
		return false // any end is the end: the proxy is gone
	}
	s.take(ctx, buf[:min(r.n, len(buf))], &r)
	return true
}

// take answers one message, and closes what came with it before it does: when the
// proxy learns of it, the socket is its alone.
func (s *server) take(ctx context.Context, b []byte, got *received) {
	defer got.closeAll()
	req, err := parseRequest(b)
	switch {
	case err != nil:
		s.refuse(request{}, err)
		return
	case req.epoch != s.voice.epoch:
		return // meant for an earlier helper; it will come again
	case got.cut || got.has != wants(req.kind):
		s.refuse(req, fmt.Errorf("%w: kind %d with %d descriptors (or more), want %d", errBroken, req.kind, got.has, wants(req.kind)))
		return
	}
	switch req.kind {
	case sayPong:
		s.pong(ctx, req.id)
	case askApply:
		s.reply(req, s.apply(ctx, req.state))
	case askListen:
		s.listen(ctx, req)
	case askHear:
		s.hear(ctx, req)
	case askPrepare, askAnswer:
		err := s.prepare(got.fds[0], req)
		got.closeAll()
		s.reply(req, err)
	case askTest:
		s.test(ctx, req)
	}
}

func wants(k kind) int {
	if k == askPrepare || k == askAnswer {
		return 1
	}
	return 0
}

// reply answers a request.
func (s *server) reply(req request, err error) {
	if errors.Is(err, ErrRefused) {
		s.refuse(req, err)
		return
	}
	r := report{kind: sayAnswer, id: req.id}
	if err != nil {
		r.errno, r.text = uint32(errnoOf(err)), []byte(err.Error())
	}
	s.send(r, -1)
}

// refuse logs what the charter does not cover, and answers it if it can be.
func (s *server) refuse(req request, err error) {
	if ok, dropped := s.refusals.take(time.Now()); ok {
		s.log.Warn("the proxy asked for what it may not have", "err", err, "unsaid", dropped)
	}
	if req.kind != 0 && req.kind != sayPong {
		s.send(report{kind: sayAnswer, id: req.id, errno: uint32(unix.EPERM), refused: true, text: []byte(err.Error())}, -1)
	}
}

// send sends a report. That the proxy does not read, or is gone, is its own affair:
// a request without an answer ends by its context.
func (s *server) send(r report, with int) { _ = s.voice.say(r, with) }

// prepare checks and prepares a socket.
func (s *server) prepare(fd int, req request) error {
	if req.kind == askAnswer {
		if err := s.charter.allowsAnswer(req.peer, req.addr, s.host.Own); err != nil {
			return err
		}
		return s.sockets.answer(fd, req.peer, req.addr)
	}
	src := req.addr
	if src == (netip.AddrPort{}) {
		if !s.charter.Mark {
			return fmt.Errorf("%w: mark a socket that is not bound: it was started for none", ErrRefused)
		}
	} else if err := s.charter.allowsSource(src, s.host.Own); err != nil {
		return err
	}
	return s.sockets.prepare(fd, src)
}

// listen opens a listener and hands it over.
func (s *server) listen(ctx context.Context, req request) {
	if err := allowsListen(s.charter.Listen, req.addr); err != nil {
		s.reply(req, err)
		return
	}
	l, err := s.host.Listen(ctx, platform.Socket{Bind: req.addr, Transparent: true, Require: true, Mark: s.charter.marks().Client})
	if err != nil {
		s.reply(req, err)
		return
	}
	defer l.Close()
	s.handOver(req, l)
}

// hear opens a listener for datagrams and hands it over.
func (s *server) hear(ctx context.Context, req request) {
	if err := allowsListen(s.charter.Hear, req.addr); err != nil {
		s.reply(req, err)
		return
	}
	l, err := s.host.ListenUDP(ctx, platform.Socket{Bind: req.addr, Mark: s.charter.marks().Client})
	if err != nil {
		s.reply(req, err)
		return
	}
	defer l.Close()
	s.handOver(req, l)
}

// handOver answers with a descriptor.
func (s *server) handOver(req request, of syscall.Conn) {
	raw, err := of.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { s.send(report{kind: sayAnswer, id: req.id}, int(fd)) })
	}
	if err != nil {
		s.reply(req, err)
	}
}

// test runs the self-test beside everything else, since it may well make
// connections that need a socket prepared.
func (s *server) test(ctx context.Context, req request) {
	if s.o.Test == nil {
		s.reply(req, fmt.Errorf("%w: there is no self-test", ErrRefused))
		return
	}
	select {
	case s.testing <- struct{}{}:
	default:
		s.reply(req, fmt.Errorf("another self-test is under way: %w", unix.EBUSY))
		return
	}
	if ok, _ := s.proofs.take(time.Now()); !ok {
		<-s.testing
		s.reply(req, fmt.Errorf("the last self-test was a moment ago: %w", unix.EBUSY))
		return
	}
	s.tests.Go(func() {
		err := s.o.Test(ctx, s.charter)
		<-s.testing
		r := report{kind: sayAnswer, id: req.id}
		if err != nil {
			r.errno, r.text = uint32(errnoOf(err)), []byte(err.Error())
		}
		s.send(r, -1)
	})
}
