package neighbour

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// What devices announce by multicast DNS (RFC 6762): an address record that has the
// sender's own address names the sender. What is said of others is not believed, and what
// is asked is not looked at.

// mdnsPort is where all of it goes to and comes from.
const mdnsPort = 5353

// recordsMost is how many records of a message are looked at.
const recordsMost = 128

// announced returns what a message calls its sender, with the time that this holds for: 0
// if it is said no longer.
func announced(b []byte, from netip.Addr) (text string, ttl time.Duration, ok bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || p.SkipAllQuestions() != nil {
		return "", 0, false
	}
	left := recordsMost
	sections := []struct {
		header func() (dnsmessage.ResourceHeader, error)
		skip   func() error
	}{{p.AnswerHeader, p.SkipAnswer}, {p.AuthorityHeader, p.SkipAuthority}, {p.AdditionalHeader, p.SkipAdditional}}
	for _, s := range sections {
		for ; left > 0; left-- {
			h, err := s.header()
			if err == dnsmessage.ErrSectionDone {
				break
			}
			if err != nil {
				return "", 0, false
			}
			a, is := address(&p, h.Type, s.skip)
			if !is {
				return "", 0, false
			}
			if a != from {
				continue
			}
			if text = clean(h.Name.String()); text != "" && strings.HasSuffix(strings.ToLower(text), ".local") {
				return text, min(time.Duration(h.TTL)*time.Second, heardMost), true
			}
		}
	}
	return "", 0, false
}

// address reads the record that comes next; it is the zero address of another type. ok is
// false if it is malformed.
func address(p *dnsmessage.Parser, kind dnsmessage.Type, skip func() error) (a netip.Addr, ok bool) {
	switch kind {
	case dnsmessage.TypeA:
		r, err := p.AResource()
		return netip.AddrFrom4(r.A), err == nil
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		return netip.AddrFrom16(r.AAAA).Unmap(), err == nil
	}
	return netip.Addr{}, skip() == nil
}

// A ration lets so many things through in a second.
type ration struct {
	most  int
	left  int
	since time.Time
}

func (r *ration) pass(now time.Time) bool {
	if now.Sub(r.since) >= time.Second {
		r.left, r.since = r.most, now
	}
	if r.left <= 0 {
		return false
	}
	r.left--
	return true
}
