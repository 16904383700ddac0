package main

import (
	"errors"
	"io"
	"net/netip"
	"os"

	"transom"
	"transom/platform"
	"transom/platform/owner"
	"transom/platform/sandbox"
)

// looking is what it takes to see what processes of others have open.
var looking = []sandbox.Cap{sandbox.DACReadSearch, sandbox.SysPtrace}

// findOwners starts who looks for the programs behind clients on this host, with what
// rights there are. Without it goes on, and says so.
func findOwners(p *transom.Proxy, c owner.Charter, o owner.Options) {
	if err := closeOwners(p); err != nil { // of another way that was tried first
		p.Log.Debug("those who look for programs had no good end", "err", err)
	}
	o.Log = p.Log
	client, err := owner.Start(c, o)
	if err != nil {
		p.Log.Warn("programs behind connections are recorded by their addresses alone", "err", err)
		return
	}
	p.Owners = client
}

// findOwners has the programs of this host found whose connections the steering brings.
// Who looks runs as who helps, and is started before that, so that it is ready when the
// first connection comes.
func (r *rights) findOwners(p *transom.Proxy) {
	tcp := p.Steering.Ports
	if len(tcp) == 0 {
		tcp = everyPort()
	} else {
		tcp = append([]platform.PortRange{{First: p.Steering.Port, Last: p.Steering.Port}}, tcp...)
	}
	o := owner.Options{Here: func(a netip.Addr) bool { return p.Host.Own(a) }}
	o.UID, o.GID = r.helperUser()
	for _, c := range looking {
		if r.held.Has(c) {
			o.Capabilities = append(o.Capabilities, uintptr(c))
		}
	}
	findOwners(p, owner.Charter{TCP: tcp, UDP: p.Steering.UDPPorts}, o)
}

// findOwnersInside has the programs of one's own namespaces found: by the keeper, which
// gets the file, and by the number that their user has here.
func findOwnersInside(p *transom.Proxy) (*os.File, error) {
	uid := os.Getuid()
	client, far, err := owner.Connect(owner.Charter{TCP: everyPort(), UDP: everyPort(), Person: &uid}, nil)
	if err != nil {
		return nil, err
	}
	p.Owners = client
	return far, nil
}

// lookInside is the keeper's part. Why it ends is no news: it does with its client.
func lookInside(far *os.File) { _ = owner.ServeOn(far) }

// closeOwners ends who looks.
func closeOwners(p *transom.Proxy) error {
	if c, ok := p.Owners.(io.Closer); ok {
		p.Owners = nil
		return c.Close()
	}
	return nil
}

func everyPort() []platform.PortRange { return []platform.PortRange{{First: 1, Last: 65535}} }

// serveOwners is who looks.
func serveOwners() error {
	held, err := sandbox.Held()
	if err != nil {
		return err
	}
	var caps []sandbox.Cap
	for _, c := range looking {
		if held.Has(c) {
			caps = append(caps, c)
		}
	}
	if err := sandbox.Keep(caps...); err != nil {
		return err
	}
	return owner.Serve(func() error {
		err := sandbox.OnlyLook()
		if errors.Is(err, platform.ErrUnsupported) {
			return nil // which the proxy has said of itself
		}
		return err
	})
}
