package wire

import "transom/flow"

// Blobs appends to dst what of c is large and much the same from one connection to
// the next: hellos and certificates. They are to be kept by themselves.
func Blobs(dst [][]byte, c *flow.Conn) [][]byte {
	for i := range c.Layers {
		dst = blobs(dst, c.Layers[i].TLS)
	}
	if c.Server != nil {
		dst = blobs(dst, c.Server.TLS)
	}
	return dst
}

func blobs(dst [][]byte, t *flow.TLS) [][]byte {
	if t == nil {
		return dst
	}
	if len(t.Hello) > 0 {
		dst = append(dst, t.Hello)
	}
	for _, cert := range t.Chain {
		if len(cert) > 0 {
			dst = append(dst, cert)
		}
	}
	return dst
}

// AppendConn appends c to dst, with names for what Blobs has returned of it, in that
// order, none of them 0.
func AppendConn(dst []byte, c *flow.Conn, blobs []uint64) []byte {
	w := connWriter{writer{dst}, blobs}
	w.octet(version)
	w.id(c.ID)
	w.time(c.Start, created(c.ID))
	w.text(c.Network)
	w.text(c.Via)
	w.addr(c.Client)
	w.addr(c.Local)
	w.addr(c.Dst)
	w.text(c.Host)
	w.process(c.Process)
	w.number(uint64(len(c.Layers)))
	for i := range c.Layers {
		w.layer(&c.Layers[i])
	}
	w.leg(c.Server, c)
	w.device(c.Device)
	if c.Foreign != "" {
		w.text(c.Foreign)
	}
	return w.b
}

// ReadConn reads what AppendConn has written. blob gets what has a name; what it
// returns must not change. b may be used again.
func ReadConn(b []byte, blob func(name uint64) ([]byte, error)) (c *flow.Conn, err error) {
	r := connReader{*newReader(b, &err), blob}
	c = &flow.Conn{ID: r.id()}
	c.Start = r.time(created(c.ID))
	c.Network, c.Via = r.text(), r.text()
	c.Client, c.Local, c.Dst = r.addr(), r.addr(), r.addr()
	c.Host, c.Process = r.text(), r.process()
	for range r.count(2) {
		c.Layers = append(c.Layers, r.layer())
	}
	c.Server = r.leg(c)
	c.Device, c.Foreign = r.device(), r.text()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// A connWriter has the names of blobs that are still to be written.
type connWriter struct {
	writer
	names []uint64
}

type connReader struct {
	reader
	get func(name uint64) ([]byte, error)
}

// inner is a reader of a block of r's.
func (r *connReader) inner() (connReader, bool) {
	b, ok := r.block()
	return connReader{b, r.get}, ok
}

func (w *connWriter) blob(p []byte) {
	if len(p) == 0 {
		w.number(0)
		return
	}
	w.number(w.names[0])
	w.names = w.names[1:]
}

func (r *connReader) blob() []byte {
	name := r.number()
	if name == 0 || *r.err != nil {
		return nil
	}
	p, err := r.get(name)
	if err != nil && *r.err == nil {
		*r.err = err
	}
	return p
}

func (w *connWriter) process(p *flow.Process) {
	if p == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.integer(int64(p.PID))
	w.text(p.Name)
	w.text(p.Path)
	w.integer(int64(p.UID))
	w.text(p.User)
	w.text(p.Cgroup)
	w.text(p.Container)
	w.text(p.Unit)
	w.end(begun)
}

func (r *connReader) process() *flow.Process {
	b, ok := r.block()
	if !ok {
		return nil
	}
	return &flow.Process{
		PID: b.small(), Name: b.text(), Path: b.text(), UID: b.small(), User: b.text(),
		Cgroup: b.text(), Container: b.text(), Unit: b.text(),
	}
}

func (w *connWriter) device(d *flow.Device) {
	if d == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.text(d.MAC)
	w.text(d.Name)
	w.text(d.NamedBy)
	w.end(begun)
}

func (r *connReader) device() *flow.Device {
	b, ok := r.block()
	if !ok {
		return nil
	}
	return &flow.Device{MAC: b.text(), Name: b.text(), NamedBy: b.text()}
}

func (w *connWriter) layer(l *flow.Layer) {
	begun := w.begin()
	w.text(l.Proto)
	w.text(l.Host)
	w.text(l.H2)
	w.tls(l.TLS)
	w.end(begun)
}

func (r *connReader) layer() flow.Layer {
	b, ok := r.inner()
	if !ok {
		return flow.Layer{}
	}
	return flow.Layer{Proto: b.text(), Host: b.text(), H2: b.text(), TLS: b.tls()}
}

func (w *connWriter) leg(l *flow.Leg, c *flow.Conn) {
	if l == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.addr(l.From)
	w.addr(l.To)
	w.time(l.Dialed, c.Start)
	w.text(l.Err)
	w.text(l.H2)
	w.tls(l.TLS)
	w.end(begun)
}

func (r *connReader) leg(c *flow.Conn) *flow.Leg {
	b, ok := r.inner()
	if !ok {
		return nil
	}
	return &flow.Leg{From: b.addr(), To: b.addr(), Dialed: b.time(c.Start), Err: b.text(), H2: b.text(), TLS: b.tls()}
}

func (w *connWriter) tls(t *flow.TLS) {
	if t == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.text(t.ServerName)
	w.texts(t.ALPN)
	w.number(uint64(len(t.Versions)))
	for _, v := range t.Versions {
		w.number(uint64(v))
	}
	w.blob(t.Hello)
	w.truth(t.ECH)
	w.text(t.JA3)
	w.text(t.JA4)
	w.number(uint64(t.Version))
	w.number(uint64(t.CipherSuite))
	w.text(t.Protocol)
	w.number(uint64(t.Group))
	w.number(uint64(len(t.Chain)))
	for _, cert := range t.Chain {
		w.blob(cert)
	}
	w.text(t.VerifyErr)
	w.truth(t.WantsCert)
	w.truth(t.Resumed)
	w.end(begun)
}

func (r *connReader) tls() *flow.TLS {
	b, ok := r.inner()
	if !ok {
		return nil
	}
	t := &flow.TLS{ServerName: b.text(), ALPN: b.texts()}
	if n := b.count(1); n > 0 {
		t.Versions = make([]uint16, n)
		for i := range t.Versions {
			t.Versions[i] = b.word()
		}
	}
	t.Hello, t.ECH, t.JA3, t.JA4 = b.blob(), b.truth(), b.text(), b.text()
	t.Version, t.CipherSuite, t.Protocol, t.Group = b.word(), b.word(), b.text(), b.word()
	if n := b.count(1); n > 0 {
		t.Chain = make([][]byte, n)
		for i := range t.Chain {
			t.Chain[i] = b.blob()
		}
	}
	t.VerifyErr, t.WantsCert, t.Resumed = b.text(), b.truth(), b.truth()
	return t
}
