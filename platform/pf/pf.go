// Package pf asks the packet filter of macOS, FreeBSD and OpenBSD where a
// connection that it has redirected was meant to go. It is asked by an ioctl
// (DIOCNATLOOK), whose struct differs from system to system and is encoded here
// byte by byte, so that all of them are tested on any; only the device itself
// needs the system. Where the ioctl can't be had, what pfctl prints is read
// instead. On macOS none but root gets an answer, so a process that stays root
// gives it (Serve, Start).
//
// It changes nothing: rules are other people's, and package steer's.
package pf

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// ErrNoState is wrapped by errors about connections that pf knows nothing of.
var ErrNoState = errors.New("pf has no state for it")

// A Device carries out requests as /dev/pf does: arg is the struct that goes with
// the request, and is changed in place. Its errors are errnos.
type Device interface {
	Ioctl(request uint32, arg []byte) error
}

// A Table is the states of a packet filter. It may be asked concurrently.
type Table struct {
	// Device is asked, with structs of this Layout.
	Device Device
	Layout Layout
	// Domain is OpenBSD's routing domain that connections arrive in.
	Domain uint16
	// States prints the states, as pfctl does. It is asked where the device can't
	// answer, for want of rights or of the request; nil for none.
	States *States
}

// Original returns where the client of a connection that was accepted at local
// meant to go. If that is local, or the error wraps ErrNoState, nobody redirected it.
func (t *Table) Original(client, local netip.AddrPort) (netip.AddrPort, error) {
	client, local = plain(client), plain(local)
	if err := askable(client, local); err != nil {
		return netip.AddrPort{}, err
	}
	dst, err := t.natlook(client, local)
	if err == nil || t.States == nil || !wants(err) {
		return dst, err
	}
	dst, other := t.States.Original(client, local)
	if other != nil && !errors.Is(other, ErrNoState) {
		return dst, fmt.Errorf("%w; and then %w", err, other)
	}
	return dst, other
}

// plain is never v4-mapped.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// askable refuses what a kernel would call an invalid argument.
func askable(client, local netip.AddrPort) error {
	for _, a := range [...]netip.AddrPort{client, local} {
		if !a.IsValid() || a.Addr().IsUnspecified() || a.Port() == 0 {
			return fmt.Errorf("ask pf for the connection of %s to %s: %s is no end of a connection", client, local, a)
		}
	}
	if client.Addr().Is4() != local.Addr().Is4() {
		return fmt.Errorf("ask pf for the connection of %s to %s: an address of IPv4 and one of IPv6", client, local)
	}
	return nil
}

// natlook asks the device.
func (t *Table) natlook(client, local netip.AddrPort) (netip.AddrPort, error) {
	forms, err := scopes(client, local)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, q := range forms {
		q.domain = t.Domain
		arg := make([]byte, t.Layout.size)
		t.Layout.encode(arg, q)
		if err = t.Device.Ioctl(t.Layout.Request(), arg); err == nil {
			return t.Layout.answer(arg, q, local)
		}
		if !errors.Is(err, syscall.ENOENT) {
			break
		}
	}
	return netip.AddrPort{}, fmt.Errorf("ask pf for the connection of %s to %s (DIOCNATLOOK): %w", client, local, t.explain(err))
}

// wants reports whether the text may know what the device didn't say.
func wants(err error) bool {
	for _, e := range [...]error{syscall.EPERM, syscall.EACCES, syscall.ENOTTY, syscall.ENODEV, syscall.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explain adds what is to be done.
func (t *Table) explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w: %w", ErrNoState, err)
	case errors.Is(err, syscall.E2BIG):
		return fmt.Errorf("several states fit, and nothing says which is meant: have one rule redirect it, on one interface: %w", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("the kernel makes no sense of the question; transom asks as %s does: %w", t.Layout.System, err)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("only root may ask: run transom as root, by sudo or doas: %w", err)
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("pf is not there: load it, on FreeBSD by kldload pf: %w", err)
	case errors.Is(err, syscall.ENOTTY):
		return fmt.Errorf("this kernel has no such request, or another struct; transom knows that of %s: %w", t.Layout.System, err)
	}
	return err
}
