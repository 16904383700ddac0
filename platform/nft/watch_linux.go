package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch hears of changes that others make to the rules.
type Watch struct {
	file   *os.File
	except uint32
}

// Watch opens a Watch on the namespace of the calling thread, which must be
// that of c. What c itself changes is left out.
func (c *Conn) Watch() (*Watch, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("nft: open a netfilter socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netfilter")
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("nft: watch for changes (it needs CAP_NET_ADMIN): %w", err)
	}
	return &Watch{f, c.port}, nil
}

// Close ends the watch, and a Next that waits.
func (w *Watch) Close() error { return w.file.Close() }

// settle is how long Next waits for more: who loads a set of rules makes many
// changes.
const settle = 20 * time.Millisecond

// Next waits until somebody has made a chain, or removed a rule, a chain or a
// table, or something has been missed. Changes in quick succession are one. It fails when the watch
// is closed.
func (w *Watch) Next() error {
	buf := make([]byte, 64<<10)
	for news := false; ; {
		n, err := w.file.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return w.file.SetReadDeadline(time.Time{})
		case err != nil && !errors.Is(err, unix.ENOBUFS):
			return fmt.Errorf("nft: watch for changes: %w", err)
		case news:
		case err != nil || concerns(buf[:n], w.except):
			news = true
			if err := w.file.SetReadDeadline(time.Now().Add(settle)); err != nil {
				return err
			}
		}
	}
}

// concerns reports whether one of the messages in a datagram is such a change.
// Their port is that of who asked for it.
func concerns(b []byte, except uint32) bool {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return true // who knows
		}
		switch binary.NativeEndian.Uint16(b[4:]) {
		case subsysTables<<8 | newChain, subsysTables<<8 | delRule, subsysTables<<8 | delChain, subsysTables<<8 | delTable:
			if binary.NativeEndian.Uint32(b[12:]) != except {
				return true
			}
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return false
}
