package h2

import (
	"encoding/binary"
	"slices"

	"golang.org/x/net/http2"

	"transom/flow"
)

// A client and its server see each other's connection through us: what is said
// about the connection as a whole goes on as it came. A Server whose Options
// name an Upstream and that Client call each other, never with their own lock
// held by the other's call: each call only appends frames.
//
//	client            Server      Client             server
//	  preface, SETTINGS → fromClient ─→ preface, SETTINGS
//	  WINDOW_UPDATE     → fromClient ─→ once, before the first request
//	  PRIORITY, PING, … → fromClient ─→
//	       SETTINGS ←─ fromServer    ← SETTINGS
//	  PING, ALTSVC … ←─ fromServer   ← PING, ALTSVC, …
//	        GOAWAY ←─ serverLeaves   ← GOAWAY, or the connection's end

// settingsLocked implements side: the client's settings are its server's
// business too.
func (s *Server) settingsLocked(list []Setting) {
	up := s.o.Upstream
	if !s.settings {
		s.settings = true
		s.opening.Settings = list
		if up != nil {
			up.open(likeClient(list))
		}
		return
	}
	if up != nil {
		s.order.Do(func() { up.announce(likeClient(list)) })
	}
}

// relayLocked implements side.
func (s *Server) relayLocked(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	up := s.o.Upstream
	switch kind {
	case http2.FrameWindowUpdate:
		if s.granted || s.opened {
			return // from then on we keep account ourselves
		}
		s.granted = true
		s.opening.Window = binary.BigEndian.Uint32(payload)
		if up != nil {
			up.grant(s.opening.Window)
		}
		return
	case http2.FramePriority:
		if !s.opened && len(s.opening.Priorities) < maxPriorities {
			p := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(payload)), id)
			s.opening.Priorities = append(s.opening.Priorities, append(p, payload...))
		}
	case http2.FramePing:
		ours := up == nil
		if !flags.Has(http2.FlagPingAck) {
			ours = ours || !up.pinged(s.fed)
			s.fed = false
		}
		if ours {
			s.pongLocked(flags, payload)
			return
		}
	}
	if up != nil {
		payload = append([]byte(nil), payload...)
		s.order.Do(func() { up.send(kind, flags, id, payload) })
	}
}

// pongLocked answers a PING.
func (c *conn) pongLocked(flags http2.Flags, payload []byte) {
	if flags.Has(http2.FlagPingAck) {
		return
	}
	c.appendLocked(func(b []byte) []byte {
		return append(appendFrame(b, len(payload), http2.FramePing, http2.FlagPingAck, 0), payload...)
	})
}

// pinged reports whether a PING of the client's is for the server, and takes it
// into account. Some clients ping when payload has come, to find how large their
// windows should be, and some servers end a connection on which they are pinged
// more often than they send something. They go together while nobody stands
// between them; but what the server sent at once may leave us piece by piece.
// So a PING behind payload (fed) of which the server has sent nothing since it
// answered the last one is ours to answer. One behind nothing asks whether the
// server is still there.
func (c *Client) pinged(fed bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if fed && !c.heard {
		return false
	}
	c.pings++
	c.heard = false
	return true
}

// heardLocked notes that the server sends payload. What comes before its answer
// to a PING may have been sent before it got that.
func (c *Client) heardLocked() {
	if c.pings == 0 {
		c.heard = true
	}
}

// goAwayLocked implements side: the client will take no more, which is its
// server's to know.
func (s *Server) goAwayLocked(last uint32, code Code, debug []byte) {
	if up := s.o.Upstream; up != nil {
		payload := appendGoAway(nil, last, code, string(debug))[9:]
		s.order.Do(func() { up.send(http2.FrameGoAway, 0, 0, payload) })
	}
}

// fromServer takes the server's settings, the first of them before anything
// else is sent.
func (s *Server) fromServer(list []Setting) {
	s.mu.Lock()
	first := !s.begun
	list = likeServer(list)
	if first {
		s.mu.Unlock()
		s.begin(list)
		return
	}
	s.announceLocked(list)
	s.appendLocked(func(b []byte) []byte { return appendSettings(b, list) })
	s.mu.Unlock()
	s.kick()
}

// serverGrants takes the server's first window for the connection.
func (s *Server) serverGrants(n uint32) {
	n = min(n, maxUploadConnWindow)
	s.mu.Lock()
	s.recv += int64(n)
	s.recvMax += int64(n)
	s.appendLocked(func(b []byte) []byte { return appendWindowUpdate(b, 0, n) })
	s.mu.Unlock()
	s.kick()
}

// pass takes a frame from the server that is about the connection.
func (s *Server) pass(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	s.mu.Lock()
	s.appendLocked(func(b []byte) []byte { return append(appendFrame(b, len(payload), kind, flags, id), payload...) })
	s.mu.Unlock()
	s.kick()
}

// serverGone takes the end of the server's connection: what has come of it is
// still sent, then the client's ends alike.
func (s *Server) serverGone(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishLocked(ofServer(err))
}

// open begins the connection as the client began its own.
func (c *Client) open(list []Setting) {
	c.mu.Lock()
	c.opened = true
	c.opening.Settings = list
	c.announceLocked(list)
	c.pushesLocked(list)
	c.slots.Broadcast()
	c.mu.Unlock()
	c.out.unhold(appendSettings([]byte(preface), list))
	c.kick()
}

// pushesLocked notes whether list lets the server push.
func (c *Client) pushesLocked(list []Setting) {
	for _, s := range list {
		if s.ID == settingEnablePush {
			c.pushes = s.Value == 1
		}
	}
}

// announce sends further settings.
func (c *Client) announce(list []Setting) {
	c.mu.Lock()
	c.announceLocked(list)
	c.pushesLocked(list)
	c.appendLocked(func(b []byte) []byte { return appendSettings(b, list) })
	c.mu.Unlock()
	c.kick()
}

// grant sends the client's first window for the connection.
func (c *Client) grant(n uint32) {
	c.mu.Lock()
	c.opening.Window = n
	c.recv += int64(n)
	c.recvMax += int64(n)
	c.appendLocked(func(b []byte) []byte { return appendWindowUpdate(b, 0, n) })
	c.mu.Unlock()
	c.kick()
}

// send passes on a frame of the client's. Streams in it are named by the
// numbers they have here.
func (c *Client) send(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	c.mu.Lock()
	switch {
	case kind == http2.FramePriority:
		renumber(payload, c.idHereLocked)
		if !c.first && len(c.opening.Priorities) < maxPriorities {
			p := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(payload)), id)
			c.opening.Priorities = append(c.opening.Priorities, append(p, payload...))
		}
	case kind == http2.FramePriorityUpdate && len(payload) >= 4:
		renumber(payload, c.idHereLocked)
	}
	id = c.idHereLocked(id)
	c.appendLocked(func(b []byte) []byte { return append(appendFrame(b, len(payload), kind, flags, id), payload...) })
	c.mu.Unlock()
	c.kick()
}

// renumber replaces the stream that a payload begins with.
func renumber(payload []byte, to func(uint32) uint32) {
	v := binary.BigEndian.Uint32(payload)
	binary.BigEndian.PutUint32(payload, v&0x80000000|to(v&0x7fffffff))
}

// idHereLocked returns what a stream of the client's is called here: the same,
// unless order could not be kept.
func (c *Client) idHereLocked(id uint32) uint32 {
	if c.reordered {
		for _, p := range slices.Backward(c.sent) {
			if p.theirs == id {
				return p.here
			}
		}
	}
	return id
}

// idThereLocked returns what the client calls a stream.
func (c *Client) idThereLocked(id uint32) uint32 {
	if c.reordered {
		for _, p := range slices.Backward(c.sent) {
			if p.here == id {
				return p.theirs
			}
		}
	}
	return id
}

// priorityHereLocked returns what a HEADERS frame begins with.
func (c *Client) priorityHereLocked(p *flow.H2Priority) []byte {
	if p == nil {
		return nil
	}
	here := *p
	here.Parent = c.idHereLocked(p.Parent)
	return appendPriority(nil, &here)
}

// settingsLocked implements side.
func (c *Client) settingsLocked(list []Setting) {
	for _, s := range list {
		if s.ID == settingMaxStreams {
			c.max = int(min(s.Value, 1<<30))
		}
	}
	c.slots.Broadcast()
	c.tellLocked(func(s *Server) { s.fromServer(list) })
}

// relayLocked implements side.
func (c *Client) relayLocked(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte) {
	switch {
	case kind == http2.FrameWindowUpdate:
		if !c.granted {
			n := binary.BigEndian.Uint32(payload)
			c.tellLocked(func(s *Server) { s.serverGrants(n) })
		}
		c.granted = true
		return
	case kind == http2.FramePing && flags.Has(http2.FlagPingAck):
		c.pings = max(c.pings-1, 0)
	case kind == http2.FramePing && c.down == nil && !c.o.Mirror:
		c.pongLocked(flags, payload)
		return
	}
	payload = append([]byte(nil), payload...)
	id = c.idThereLocked(id)
	c.tellLocked(func(s *Server) { s.pass(kind, flags, id, payload) })
}

// goAwayLocked implements side.
func (c *Client) goAwayLocked(last uint32, code Code, debug []byte) {
	c.away, c.awayLast = &GoAwayError{code}, last
	seen := c.forgotten // those that it did not see are refused one by one
	for id, s := range c.streams {
		if id > last {
			s.endLocked(c.away)
		}
	}
	for _, p := range c.sent {
		if p.here <= last {
			seen = max(seen, p.theirs)
		}
	}
	if last >= c.lastID {
		seen = last
	}
	debug = append([]byte(nil), debug...)
	c.slots.Broadcast()
	c.tellLocked(func(s *Server) { s.serverLeaves(seen, code, debug) })
}

// tellLocked tells the Server, now or when it has joined. The lock is not held
// while it is told, but nothing else is told meanwhile: only the read loop tells,
// and join what came before, until it has told all.
func (c *Client) tellLocked(f func(*Server)) {
	if c.down == nil {
		if c.o.Mirror && len(c.untold) < maxUntold {
			c.untold = append(c.untold, f)
		}
		return
	}
	down := c.down
	c.mu.Unlock()
	defer c.mu.Lock()
	f(down)
}

// maxUntold is how much is kept for a Server that has not joined yet.
const maxUntold = 64

// join makes s the one who is told, nil nobody.
func (c *Client) join(s *Server) {
	c.mu.Lock()
	for s != nil && len(c.untold) > 0 {
		f := c.untold[0]
		c.untold = c.untold[1:]
		c.mu.Unlock()
		f(s)
		c.mu.Lock()
	}
	c.down = s
	gone := c.gone
	c.mu.Unlock()
	if s != nil && gone != nil {
		s.serverGone(gone)
	}
}
