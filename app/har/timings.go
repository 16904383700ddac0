package har

import (
	"net/netip"
	"time"

	"transom/flow"
)

// A spending is where the time of an exchange went. What is not known is negative and
// counts for nothing; tls is a part of connect.
type spending struct{ connect, tls, wait, receive time.Duration }

// spent divides the time between a flow's beginning and its end. Only an exchange that
// a connection to the server was made for has spent time on that.
func spent(f *flow.Flow, h *flow.HTTP) spending {
	end := f.End
	if end.Before(f.Start) {
		end = f.Start
	}
	answered := h.FirstByte
	if answered.Before(f.Start) || answered.After(end) {
		answered = end
	}
	s := spending{connect: -1, tls: -1}
	begun := f.Start
	if c := f.Conn; c != nil && c.Server != nil && c.Server.Dialed.After(f.Start) && !c.Server.Dialed.After(answered) {
		s.connect = c.Server.Dialed.Sub(f.Start)
		begun = c.Server.Dialed
	}
	s.wait, s.receive = answered.Sub(begun), end.Sub(answered)
	return s
}

// sum is the time of all, as HAR wants it.
func (s spending) sum() time.Duration { return max(s.connect, 0) + s.wait + s.receive }

// server is the address that answered.
func server(c *flow.Conn) netip.AddrPort {
	if c.Server != nil && c.Server.To.IsValid() {
		return c.Server.To
	}
	return c.Dst
}
