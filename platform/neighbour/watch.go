package neighbour

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"transom/flow"
)

// A Watch knows who the neighbours are. Its methods may be called from any goroutine, and
// none but Close waits for anything.
type Watch struct {
	o      Options
	log    *slog.Logger
	kernel source
	lookup lookup
	heard  []*net.UDPConn
	leases *files // these two are the worker's
	hosts  *files
	cancel context.CancelFunc
	ended  sync.WaitGroup
	close  func() error
	wake   chan struct{}   // of capacity one
	asking chan netip.Addr // the resolver's queue

	mu        sync.Mutex
	table     table
	listed    time.Time // when all of it was read
	told      bool      // the kernel tells what changes
	read      time.Time // when files were looked at
	known     known
	strangers remembered // addresses that the kernel doesn't know
	devices   map[mac]*flow.Device
	waiting   []ask
	looking   map[netip.Addr][]ask // by the address that the resolver is asked for
	over      bool
}

// An ask is a question about a client, and who wants to know.
type ask struct {
	client netip.Addr
	to     func(*flow.Device)
}

// A source is the kernel.
type source interface {
	list() ([]news, error)
	next() (all []news, lost bool, err error) // until Close
	Close() error
}

// A lookup asks the resolver for the names of an address.
type lookup func(context.Context, string) ([]string, error)

// Open opens all that it takes, with the rights that this process has now, and begins to
// watch. What can't be had of names is said in the log, and done without.
func Open(o Options) (*Watch, error) {
	k, err := openKernel()
	if err != nil {
		return nil, err
	}
	return begin(o, k, (&net.Resolver{PreferGo: true}).LookupAddr, places), nil
}

func begin(o Options, k source, l lookup, at []place) *Watch {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Own == nil {
		o.Own = func(netip.Addr) bool { return false }
	}
	var leases, own []place
	if o.Leases {
		leases = at
	}
	if o.Hosts {
		own = hostFiles
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watch{
		o: o, log: o.Log, kernel: k, lookup: l, cancel: cancel,
		leases: openFiles(leases, o.Log), hosts: openFiles(own, o.Log),
		wake: make(chan struct{}, 1), asking: make(chan netip.Addr, lookupsMost),
		table: newTable(), told: tells, known: known{heard: remembered{}, looked: remembered{}}, strangers: remembered{},
		devices: map[mac]*flow.Device{}, looking: map[netip.Addr][]ask{},
	}
	if o.MDNS {
		w.heard = listen(o.Interfaces, o.Log)
	}
	w.close = sync.OnceValue(w.end)
	w.ended.Go(func() { w.follow(ctx) })
	w.ended.Go(func() { w.work(ctx) })
	if o.DNS {
		w.ended.Go(func() { w.resolve(ctx) })
	}
	for _, c := range w.heard {
		w.ended.Go(func() { w.listen(ctx, c) })
	}
	return w
}

// Close ends it, and answers all who still ask.
func (w *Watch) Close() error { return w.close() }

func (w *Watch) end() error {
	w.cancel()
	errs := []error{w.kernel.Close()}
	for _, c := range w.heard {
		errs = append(errs, c.Close())
	}
	w.ended.Wait()
	w.mu.Lock()
	left := w.waiting
	for _, asks := range w.looking {
		left = append(left, asks...)
	}
	w.over, w.waiting, w.looking = true, nil, nil
	w.mu.Unlock()
	for _, a := range left {
		a.to(nil)
	}
	return errors.Join(append(errs, w.leases.close(), w.hosts.close())...)
}

// Known returns which device has an address, nil if none can be known. It reports false if
// that has to be found out.
func (w *Watch) Known(client netip.Addr) (*flow.Device, bool) {
	client = plain(client)
	if !client.IsValid() || client.IsLoopback() || w.o.Own(client) {
		return nil, true
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil, true
	}
	if now.Sub(w.read) >= filesEvery || w.listed.IsZero() || !w.told && now.Sub(w.listed) >= filesEvery {
		return nil, false
	}
	l, on := w.table.links[client]
	if !on {
		if _, stranger := w.strangers.get(client, now); !stranger {
			return nil, false
		}
	}
	d, ask := w.deviceLocked(client, l.mac, on, now)
	return d, !ask.IsValid()
}

// deviceLocked is what is known of a client, and the address that the resolver has to be
// asked for, if it has.
func (w *Watch) deviceLocked(client netip.Addr, m mac, on bool, now time.Time) (d *flow.Device, ask netip.Addr) {
	addrs := []netip.Addr{client}
	if on {
		addrs = w.table.of(m, client)
	}
	n, named := w.known.best(m, on, addrs, now)
	if !named && on && w.o.DNS {
		ask, _ = w.known.askable(addrs, now)
	}
	if !on {
		if !named {
			return nil, ask
		}
		return &flow.Device{Name: n.text, NamedBy: n.by}, ask
	}
	if d = w.devices[m]; d == nil || d.Name != n.text || d.NamedBy != n.by {
		if len(w.devices) >= devicesMost {
			clear(w.devices) // they are made anew
		}
		d = &flow.Device{MAC: m.String(), Name: n.text, NamedBy: n.by}
		w.devices[m] = d
	}
	return d, ask
}

// Ask finds out which device has an address. to is called once, by another goroutine or
// before Ask returns, with nil if none can be known. It must not wait.
func (w *Watch) Ask(client netip.Addr, to func(*flow.Device)) {
	w.mu.Lock()
	if w.over || len(w.waiting) >= asksMost {
		w.mu.Unlock()
		to(nil)
		return
	}
	w.waiting = append(w.waiting, ask{plain(client), to})
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default: // it is being woken
	}
}

// follow takes in what the kernel tells. After a loss the whole table is read again.
func (w *Watch) follow(ctx context.Context) {
	for pause := 10 * time.Millisecond; ; {
		all, lost, err := w.kernel.next()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.Debug("who the neighbours are may be out of date; trying again", "err", err)
			if !sleep(ctx, pause) {
				return
			}
			pause = min(2*pause, 5*time.Second)
			lost = true
		default:
			pause = 10 * time.Millisecond
		}
		w.mu.Lock()
		for _, n := range all {
			w.table.take(n)
			delete(w.strangers, n.addr)
		}
		if lost {
			w.listed = time.Time{} // whoever asks next has it listed
		}
		w.mu.Unlock()
	}
}

// sleep reports false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// work answers who asks.
func (w *Watch) work(ctx context.Context) {
	for {
		w.mu.Lock()
		batch := w.waiting
		w.waiting = nil
		w.mu.Unlock()
		if len(batch) == 0 {
			select {
			case <-w.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		w.answer(ctx, batch)
	}
}

// answer answers a batch, but for what the resolver is asked for.
func (w *Watch) answer(ctx context.Context, batch []ask) {
	w.readFiles()
	if w.misses(batch) {
		w.mu.Lock()
		rest := listEvery - time.Since(w.listed)
		w.mu.Unlock()
		_ = rest <= 0 || sleep(ctx, rest) // an answer is due in the end, too
		w.list()
	}
	now := time.Now()
	answers := make([]*flow.Device, len(batch))
	w.mu.Lock()
	for i, a := range batch {
		l, on := w.table.links[a.client]
		if !on {
			w.strangers.set(a.client, said{until: now.Add(strangerFor)})
		}
		d, at := w.deviceLocked(a.client, l.mac, on, now)
		if answers[i] = d; at.IsValid() && w.lookLocked(at, a) {
			batch[i].to = nil
		}
	}
	w.mu.Unlock()
	for i, a := range batch {
		if a.to != nil {
			a.to(answers[i])
		}
	}
}

// misses reports whether the kernel has to be asked again.
func (w *Watch) misses(batch []ask) bool {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listed.IsZero() || !w.told && now.Sub(w.listed) >= filesEvery {
		return true
	}
	return slices.ContainsFunc(batch, func(a ask) bool {
		_, on := w.table.links[a.client]
		_, stranger := w.strangers.get(a.client, now)
		return !on && !stranger
	})
}

// list reads the kernel's table. What it tells meanwhile may be older than the list: who
// has gone since is asked for again.
func (w *Watch) list() {
	all, err := w.kernel.list()
	if err != nil {
		w.log.Debug("devices are not known by their hardware addresses", "err", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed = time.Now()
	if err == nil {
		w.table.replace(all)
	}
}

// readFiles looks whether files have changed.
func (w *Watch) readFiles() {
	now := time.Now()
	w.mu.Lock()
	due := now.Sub(w.read) >= filesEvery
	w.mu.Unlock()
	if !due {
		return
	}
	changed := w.leases.refresh(now)
	changed = w.hosts.refresh(now) || changed
	var all written
	if changed {
		all = merge(w.leases, w.hosts)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = now
	if changed {
		w.known.written = all
	}
}
