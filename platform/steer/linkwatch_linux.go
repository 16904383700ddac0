package steer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A linkWatch tells of interfaces that are captured at and get another name, or go:
// rules know them by name. It keeps what it needs open, so that it works in a process
// that may open nothing.
type linkWatch struct {
	log   *slog.Logger
	known map[string]int32 // index by name; 0 is of one that is not there
	news  *netlink.Conn    // its closing ends the watch
	query *netlink.Conn
}

// WatchLinks tells log when one of some interfaces is not there any more by its name, and
// when it is again, until stop is called, which waits. It takes no right.
func WatchLinks(names []string, log *slog.Logger) (stop func() error, err error) {
	w := &linkWatch{log: log, known: make(map[string]int32, len(names))}
	if w.news, err = netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: 1 << (unix.RTNLGRP_LINK - 1)}); err != nil {
		return nil, fmt.Errorf("watch the interfaces: %w", err)
	}
	if w.query, err = netlink.Dial(unix.NETLINK_ROUTE, nil); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the interfaces: %w", err), w.news.Close())
	}
	links, err := w.list()
	if err != nil {
		return nil, errors.Join(err, w.news.Close(), w.query.Close())
	}
	for _, name := range names {
		w.known[name] = links[name]
	}
	var wg sync.WaitGroup
	wg.Go(w.run)
	return sync.OnceValue(func() error {
		err := errors.Join(w.news.Close(), w.query.Close())
		wg.Wait()
		return err
	}), nil
}

func (w *linkWatch) run() {
	for {
		ms, err := w.news.Receive()
		lost := errors.Is(err, unix.ENOBUFS)
		if err != nil && !lost {
			return // closed; nothing else ends it
		}
		if !lost && !slices.ContainsFunc(ms, w.concerns) {
			continue
		}
		links, err := w.list()
		if err != nil {
			w.log.Debug("can't look whether interfaces are there", "err", err)
			continue // the next news
		}
		w.compare(links)
	}
}

// concerns reports whether a message is about one of ours, by its name of now or of
// before.
func (w *linkWatch) concerns(m netlink.Message) bool {
	name, index := parseLink(m)
	if _, ok := w.known[name]; ok {
		return true
	}
	for _, i := range w.known {
		if i == index && i != 0 {
			return true
		}
	}
	return false
}

func (w *linkWatch) compare(links map[string]int32) {
	for name, was := range w.known {
		now := links[name]
		w.known[name] = now
		switch {
		case was == 0 && now != 0:
			w.log.Info(name + " is there again: what comes in by it is captured")
		case was != 0 && now == 0 && nameOf(links, was) != "":
			w.log.Warn(name+" has another name now: what comes in by it is not captured any more; start transom anew, or give it its name back", "name", nameOf(links, was))
		case was != 0 && now == 0:
			w.log.Warn(name + " is gone: nothing is captured there until there is an interface of that name again")
		}
	}
}

func nameOf(links map[string]int32, index int32) string {
	for name, i := range links {
		if i == index {
			return name
		}
	}
	return ""
}

// list returns the interfaces' indexes by their names.
func (w *linkWatch) list() (map[string]int32, error) {
	ms, err := w.query.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | netlink.Dump},
		Data:   make([]byte, unix.SizeofIfInfomsg),
	})
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	links := make(map[string]int32, len(ms))
	for _, m := range ms {
		if name, index := parseLink(m); name != "" {
			links[name] = index
		}
	}
	return links, nil
}

// parseLink reads a message about an interface, "" of anything else.
func parseLink(m netlink.Message) (name string, index int32) {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return "", 0
	}
	index = int32(binary.NativeEndian.Uint32(m.Data[4:]))
	ad, err := netlink.NewAttributeDecoder(m.Data[unix.SizeofIfInfomsg:])
	if err != nil {
		return "", index
	}
	for ad.Next() {
		if ad.Type() == unix.IFLA_IFNAME {
			name = ad.String()
		}
	}
	return name, index
}
