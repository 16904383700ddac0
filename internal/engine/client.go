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

// Devices find out which device a client is.
type Devices interface {
	// Known returns which device has the address client, nil if none can be known. It
	// reports false if that has to be found out.
	Known(client netip.Addr) (*flow.Device, bool)
	// Ask finds it out, and has to called, once and by any goroutine, with what comes of
	// it. It does not wait, and to does not.
	Ask(client netip.Addr, to func(*flow.Device))
}

// clientWithin is how long the record of what has ended waits for who the client was.
const clientWithin = time.Second

// record begins to record a connection, and has its client looked for. What it returns
// beside waits for that, after the end.
func (e *Engine) record(cc *capture.Conn) (rec *record.Conn, settle func()) {
	client := cc.Info.Client
	if e.Owners != nil && e.Owners.Here(client.Addr()) {
		rec = e.Recorder.Conn(cc.Info)
		rec.Await(clientWithin)
		e.Owners.Ask(cc.Info.Network, client, spokenWith(cc), rec.Owned)
		return rec, rec.Settle
	}
	device, known := e.device(client.Addr())
	if device != nil {
		cc.Info = cc.Info.WithDevice(device)
	}
	rec = e.Recorder.Conn(cc.Info)
	if known {
		return rec, func() {}
	}
	rec.Await(clientWithin)
	e.Devices.Ask(client.Addr(), rec.Known)
	return rec, rec.Settle
}

// device is the device that a client is known for.
func (e *Engine) device(client netip.Addr) (d *flow.Device, known bool) {
	if e.Devices == nil {
		return nil, true
	}
	return e.Devices.Known(client)
}

// spokenWith is the address that a client speaks with, for the kernel.
func spokenWith(cc *capture.Conn) netip.AddrPort {
	if cc.Direct || !cc.Info.Dst.IsValid() {
		return cc.Info.Local
	}
	return cc.Info.Dst
}
