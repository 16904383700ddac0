package platform

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Keeping the set of own addresses:
//
//  1. join the kernel's groups for address news, so that nothing is missed;
//  2. dump all addresses and publish them;
//  3. at each news, dump again. The news themselves are not read: a dump is
//     always right, after news were lost (ENOBUFS) too, and they are rare.
type addressWatch struct {
	log   *slog.Logger
	own   *addresses
	news  *netlink.Conn // member of the groups; its closing ends the watch
	query *netlink.Conn
	quit  chan struct{}
}

func watchAddresses(log *slog.Logger) (*addresses, error) {
	news, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1)})
	if err != nil {
		return nil, fmt.Errorf("watch the host's addresses: %w", err)
	}
	query, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		news.Close()
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	own := &addresses{}
	w := &addressWatch{log: log, own: own, news: news, query: query, quit: make(chan struct{})}
	if err := w.refresh(); err != nil {
		news.Close()
		query.Close()
		return nil, err
	}
	var wg sync.WaitGroup
	wg.Go(w.run)
	own.stop = sync.OnceValue(func() error {
		close(w.quit)
		err := errors.Join(news.Close(), query.Close())
		wg.Wait()
		return err
	})
	return own, nil
}

// run refreshes at each news until the conns are closed.
func (w *addressWatch) run() {
	for pause := time.Duration(0); ; {
		_, err := w.news.Receive()
		lost := errors.Is(err, unix.ENOBUFS)
		if err == nil || lost {
			err = w.refresh()
		}
		if err == nil {
			pause = 0
			continue
		}
		if pause = min(max(2*pause, 10*time.Millisecond), 5*time.Second); !w.wait(pause) {
			return
		}
		w.log.Warn("the host's own addresses may be out of date; trying again", "err", err)
		if err := w.refresh(); err == nil {
			pause = 0
		}
	}
}

// wait reports false if the watch ends first.
func (w *addressWatch) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.quit:
		return false
	case <-t.C:
		return true
	}
}

// refresh publishes what the kernel lists. A list that changed while it was
// read is read again; the change itself is also news.
func (w *addressWatch) refresh() error {
	for {
		set, whole, err := w.list()
		if err != nil {
			return fmt.Errorf("list the host's addresses: %w", err)
		}
		if whole {
			w.own.set.Store(&set)
			return nil
		}
	}
}

func (w *addressWatch) list() (set ownSet, whole bool, err error) {
	// struct ifaddrmsg, all zero: every family
	ms, err := w.query.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETADDR, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofIfAddrmsg),
	})
	if err != nil {
		return nil, false, err
	}
	set = make(ownSet, len(ms))
	for _, m := range ms {
		if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
			return nil, false, nil
		}
		if a, ok := parseAddress(m); ok {
			set.add(a)
		}
	}
	return set, true, nil
}

// parseAddress reads the local address out of an RTM_NEWADDR message. IFA_LOCAL
// is ours and IFA_ADDRESS the peer's on point-to-point links; elsewhere they
// are equal, and IPv6 mostly has only the latter.
func parseAddress(m netlink.Message) (netip.Addr, bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return netip.Addr{}, false
	}
	ad, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return netip.Addr{}, false
	}
	var local, address netip.Addr
	for ad.Next() {
		switch ad.Type() {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(ad.Bytes())
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(ad.Bytes())
		}
	}
	if local.IsValid() {
		return local, true
	}
	return address, address.IsValid()
}
