package relay

import (
	"net"
	"time"

	"transom/platform/splice"
)

// splice lets the kernel move the rest of one direction. ok is false if the two
// ends are not both sockets.
func (p *pump) splice() (readErr, writeErr error, ok bool) {
	src, ok := p.src.Conn.(*net.TCPConn)
	if !ok || p.pipes == nil {
		return nil, nil, false
	}
	dst, ok := p.dst.(*net.TCPConn)
	if !ok {
		return nil, nil, false
	}
	w := splice.Watch{Moved: func(int) { p.act.touch() }}
	if p.act.idle > 0 {
		w.Deadline = p.act.deadline
	}
	n, readErr, writeErr := p.pipes.Copy(dst, src, w)
	p.sent[p.dir&1].Add(n)
	p.heard = p.heard || n > 0
	return readErr, writeErr, true
}

// deadline is when the relay will have been idle for too long.
func (a *activity) deadline() time.Time {
	return time.Unix(0, a.last.Load()).Add(a.idle)
}
