package engine

import (
	"net/netip"
	"time"

	"transom/capture"
	"transom/flow"
	"transom/internal/engine/record"
)

// Owners find out which program of this host a client is.
type Owners interface {
	// Here reports whether a client of this address is on this host.
	Here(client netip.Addr) bool
	// Ask has to called, once and by any goroutine, with the program that has the
	// address client and speaks with dst over network, "tcp" or "udp"; with nil if
	// that can't be known. It does not wait, and to does not.
	Ask(network string, client, dst netip.AddrPort, to func(*flow.Process))
}

// ownerWithin is how long the record of what has ended waits for the program.
const ownerWithin = time.Second

// own has the program of a client looked for, if it is here.
func (e *Engine) own(rec *record.Conn, cc *capture.Conn) bool {
	if e.Owners == nil || !e.Owners.Here(cc.Info.Client.Addr()) {
		return false
	}
	with := cc.Info.Dst
	if cc.Direct || !with.IsValid() {
		with = cc.Info.Local
	}
	rec.Await(ownerWithin)
	e.Owners.Ask(cc.Info.Network, cc.Info.Client, with, rec.Owned)
	return true
}
