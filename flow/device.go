package flow

// A Device is who a client is on the network. It is what was known when the
// connection was made, or a moment later, and some of it may be unknown: "" for that.
type Device struct {
	MAC  string // its hardware address here, as in "02:00:5e:10:00:01"
	Name string // what it calls itself, or somebody calls it; bounded, without controls
	// NamedBy says how the name is known: "dhcp", the lease of its address; "hosts",
	// this host's own list; "mdns", what it has announced; "dns", the name server.
	NamedBy string
}

// WithDevice returns a copy of c with the device that the client is.
func (c *Conn) WithDevice(d *Device) *Conn {
	e := *c
	e.Device = d
	return &e
}
