package neighbour

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// lookLocked has the resolver asked for an address. It reports whether the ask is answered
// with what comes of that.
func (w *Watch) lookLocked(at netip.Addr, a ask) bool {
	if asks, under := w.looking[at]; under {
		if len(asks) >= asksMost {
			return false
		}
		w.looking[at] = append(asks, a)
		return true
	}
	select {
	case w.asking <- at:
		w.looking[at] = []ask{a}
		return true
	default:
		return false // it is asked for again
	}
}

// resolve asks the resolver, one question at a time.
func (w *Watch) resolve(ctx context.Context) {
	var rest time.Time // until then nobody is there to be asked
	for {
		var at netip.Addr
		select {
		case <-ctx.Done():
			return
		case at = <-w.asking:
		}
		if now := time.Now(); now.Before(rest) {
			w.looked(at, said{until: rest})
			continue
		}
		text, answered := w.ask(ctx, at)
		now := time.Now()
		until := now.Add(namedFor)
		if !answered {
			rest = now.Add(restFor)
			until = rest
		}
		w.looked(at, said{text, until})
		if !sleep(ctx, lookupEvery) {
			return
		}
	}
}

// ask asks for one address. It reports whether there was an answer, be it that there is no
// name.
func (w *Watch) ask(ctx context.Context, at netip.Addr) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, lookupMost)
	defer cancel()
	names, err := w.lookup(ctx, at.String())
	var e *net.DNSError
	if err != nil && !(errors.As(err, &e) && e.IsNotFound) {
		return "", false
	}
	for _, n := range names {
		if text := clean(n); text != "" {
			return text, true
		}
	}
	return "", true
}

// looked remembers what came of it, and answers who waits.
func (w *Watch) looked(at netip.Addr, s said) {
	now := time.Now()
	w.mu.Lock()
	w.known.looked.set(at, s)
	asks := w.looking[at]
	delete(w.looking, at)
	answers := make([]func(), 0, len(asks))
	for _, a := range asks {
		l, on := w.table.links[a.client]
		d, _ := w.deviceLocked(a.client, l.mac, on, now)
		answers = append(answers, func() { a.to(d) })
	}
	w.mu.Unlock()
	for _, tell := range answers {
		tell()
	}
}

// announcementsMost is how many a second are looked at.
const announcementsMost = 100

// listen hears what devices announce, until c is closed.
func (w *Watch) listen(ctx context.Context, c *net.UDPConn) {
	room := make([]byte, 9000) // RFC 6762, section 17
	r := ration{most: announcementsMost}
	for {
		n, from, err := c.ReadFromUDPAddrPort(room)
		if err != nil { // its end, or an interface's
			if !sleep(ctx, time.Second) {
				return
			}
			continue
		}
		now := time.Now()
		if from.Port() != mdnsPort || !r.pass(now) {
			continue
		}
		at := plain(from.Addr())
		text, ttl, ok := announced(room[:n], at)
		if !ok {
			continue
		}
		w.mu.Lock()
		if w.known.heard.set(at, said{text, now.Add(ttl)}); ttl == 0 {
			delete(w.known.heard, at)
		}
		w.mu.Unlock()
	}
}
