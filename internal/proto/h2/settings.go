package h2

import (
	"errors"
	"strconv"

	"golang.org/x/net/http2"
)

// A Setting is one parameter of a SETTINGS frame (RFC 9113, section 6.5.2).
type Setting struct {
	ID    uint16
	Value uint32
}

const (
	settingTableSize    = 0x1
	settingEnablePush   = 0x2
	settingMaxStreams   = 0x3
	settingWindow       = 0x4
	settingMaxFrame     = 0x5
	settingHeadMax      = 0x6
	settingConnect      = 0x8    // RFC 8441
	settingBinary       = 0xfe03 // gRPC's: fields whose name ends in -bin may have any bytes
	defaultWindow       = 65535
	defaultMaxFrame     = 16384
	defaultTable        = 4096
	maxWindow           = 1<<31 - 1
	maxTable            = 1 << 20 // of what we hold for header compression, whatever a peer allows
	maxStreams          = 1000    // that may be open at once if nobody sets a bound, or a higher one
	maxUploadWindow     = 1 << 20 // of a stream from the client, whatever its server allows
	maxUploadConnWindow = 16 << 20
)

// ownServerSettings are sent to a client when there is no server to follow.
func ownServerSettings() []Setting {
	return []Setting{{settingMaxStreams, 250}, {settingWindow, 256 << 10}}
}

// ownClientSettings are sent to a server when there is no client to follow.
func ownClientSettings() []Setting {
	return []Setting{{settingEnablePush, 0}, {settingWindow, 4 << 20}}
}

// likeServer makes of a server's settings those for its client: the same, in
// the same order, but within what we can hold.
func likeServer(list []Setting) []Setting {
	out := make([]Setting, 0, len(list))
	for _, s := range list {
		switch s.ID {
		case settingTableSize:
			s.Value = min(s.Value, maxTable)
		case settingWindow:
			s.Value = min(s.Value, maxUploadWindow)
		}
		out = append(out, s)
	}
	return out
}

// likeClient makes of a client's settings those for its server.
func likeClient(list []Setting) []Setting {
	out := make([]Setting, 0, len(list))
	for _, s := range list {
		if s.ID == settingTableSize {
			s.Value = min(s.Value, maxTable)
		}
		out = append(out, s)
	}
	return out
}

// parseSettings returns what a frame says, in its order.
func parseSettings(f *http2.SettingsFrame) []Setting {
	out := make([]Setting, f.NumSettings())
	for i := range out {
		s := f.Setting(i)
		out[i] = Setting{uint16(s.ID), s.Val}
	}
	return out
}

// check refuses values that must not be (RFC 9113, section 6.5.2; RFC 8441,
// section 3).
func (s Setting) check(fromServer bool) error {
	switch {
	case s.ID == settingEnablePush && (s.Value > 1 || fromServer && s.Value == 1),
		s.ID == settingConnect && s.Value > 1,
		s.ID == settingMaxFrame && (s.Value < defaultMaxFrame || s.Value > 1<<24-1):
		return violation(ProtocolError, "SETTINGS parameter %d is %d", s.ID, s.Value)
	case s.ID == settingWindow && s.Value > maxWindow:
		return violation(FlowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is %d", s.Value)
	}
	return nil
}

// An Opening is how an endpoint begins: what it is recognised by.
type Opening struct {
	Settings   []Setting
	Window     uint32   // of the first WINDOW_UPDATE for the connection, 0 for none
	Priorities [][]byte // PRIORITY frames before the first request: stream and payload
	Pseudo     string   // the order of the pseudo-header fields, by their first letters: "masp"
}

// maxPriorities is how many PRIORITY frames an Opening keeps.
const maxPriorities = 16

// Fingerprint returns the opening in the form that is in common use (after
// Shuster, "Passive Fingerprinting of HTTP/2 Clients", 2017):
// settings|window|priorities|pseudo.
func (o *Opening) Fingerprint() string {
	var b []byte
	for i, s := range o.Settings {
		if i > 0 {
			b = append(b, ';')
		}
		b = strconv.AppendUint(b, uint64(s.ID), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(s.Value), 10)
	}
	b = append(b, '|')
	if o.Window == 0 {
		b = append(b, "00"...)
	} else {
		b = strconv.AppendUint(b, uint64(o.Window), 10)
	}
	b = append(b, '|')
	if len(o.Priorities) == 0 {
		b = append(b, '0')
	}
	for i, p := range o.Priorities {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPriorityText(b, p)
	}
	b = append(b, '|')
	for i := range len(o.Pseudo) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, o.Pseudo[i])
	}
	return string(b)
}

// appendPriorityText appends stream:exclusive:parent:weight.
func appendPriorityText(b, p []byte) []byte {
	num := func(p []byte) uint64 {
		return uint64(p[0])<<24 | uint64(p[1])<<16 | uint64(p[2])<<8 | uint64(p[3])
	}
	b = strconv.AppendUint(b, num(p), 10)
	b = append(b, ':', '0'+p[4]>>7, ':')
	b = strconv.AppendUint(b, num(p[4:])&0x7fffffff, 10)
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(p[8])+1, 10)
}

// announceLocked prepares for the peer to follow list, which is about to be
// sent. It may do so from now on; what it must not do any more it may until it
// acknowledges.
func (c *conn) announceLocked(list []Setting) {
	if len(c.announced) == maxAnnounced {
		c.out.breakOff(errUnsettled)
		return
	}
	c.announced = append(c.announced, promisedIn(list))
	for _, p := range list {
		switch {
		case p.ID == settingWindow && int64(p.Value) > c.recvInit:
			c.resizeLocked(int64(p.Value))
		case p.ID == settingBinary:
			c.binary[0] = p.Value == 1
		case p.ID == settingMaxFrame:
			c.readMax.Store(max(c.readMax.Load(), p.Value))
		}
	}
}

// maxAnnounced is how many SETTINGS a peer may owe an acknowledgement. One side
// sends as many as it likes, if it pays for them, and the other may never answer.
// It is more than calm lets a flood have on its way.
const maxAnnounced = 2 * calmMax

var errUnsettled = errors.New("peer acknowledges no SETTINGS")

// A promised is what counts of SETTINGS once the peer has acknowledged them; -1
// is nothing.
type promised struct{ lowTable, table, window int64 }

func promisedIn(list []Setting) promised {
	w := promised{-1, -1, -1}
	for _, p := range list {
		v := int64(p.Value)
		switch p.ID {
		case settingTableSize:
			if w.table = v; w.lowTable < 0 || v < w.lowTable {
				w.lowTable = v
			}
		case settingWindow:
			w.window = v
		}
	}
	return w
}

// settledLocked notes that the peer has acknowledged our oldest settings.
func (c *conn) settledLocked() {
	if len(c.announced) == 0 {
		return
	}
	w := c.announced[0]
	c.announced = c.announced[1:]
	if w.table >= 0 {
		c.dec.SetMax(uint32(w.lowTable))
		c.dec.SetMax(uint32(w.table))
	}
	if w.window < 0 {
		return
	}
	window := w.window // it may follow what we have said since, too
	for _, later := range c.announced {
		window = max(window, later.window)
	}
	if window < c.recvInit {
		c.resizeLocked(window)
	}
}

// resizeLocked changes the window that streams have to receive (RFC 9113,
// section 6.9.2).
func (c *conn) resizeLocked(window int64) {
	for _, s := range c.streams {
		s.recv += window - c.recvInit
		s.cond.Broadcast() // a reader may have to open it now
	}
	c.recvInit = window
}
