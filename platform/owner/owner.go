// Package owner finds the program on this host that has a socket: what a client here
// is, by its address. The kernel tells anybody whose a socket is and in which cgroup it
// was made; the process is looked for among those that are there, which takes the
// rights of its own user, or more. So it is another process that looks: one that has
// those rights and does nothing else (Serve), or one that has them anyway (ServeOn). Who
// asks it (Client) needs none. It answers by a charter, and spends a part of one
// processor's time at most. Nobody waits for it.
package owner

import (
	"net/netip"
	"time"

	"transom/platform"
)

// A Charter is what who looks is started for.
type Charter struct {
	// TCP and UDP are the ports of servers whose clients may be asked for.
	TCP, UDP []platform.PortRange
	// Person, if set, is the uid of all that is asked for. It is for sockets of another
	// user namespace, of which the kernel tells other numbers.
	Person *int
}

// allows reports whether q may be asked.
func (c *Charter) allows(q *question) bool {
	ports := c.TCP
	if q.udp {
		ports = c.UDP
	}
	for _, p := range ports {
		if p.First <= q.dst.Port() && q.dst.Port() <= p.Last {
			return true
		}
	}
	return false
}

// A question asks whose the socket is that has the address client here, and speaks
// with dst.
type question struct {
	udp         bool
	client, dst netip.AddrPort // of one family; a zone is the client's
}

// Bounds of how much is asked.
const (
	batchMost = 256  // questions in one message
	queueMost = 1024 // questions that wait; of more the oldest go without an answer
)

// Bounds of looking: so much of the time that passes, and so much at once, each of a
// processor's time.
const (
	lookShare = 4 // one in so many
	lookMost  = time.Second / 2
)

// A budget is time of a processor that may be spent. It grows as time passes. What was
// spent too much is owed.
type budget struct {
	left time.Duration
	at   time.Time // when that was so
}

// grow is called before anything is spent.
func (b *budget) grow(now time.Time) {
	b.left, b.at = min(b.left+now.Sub(b.at)/lookShare, lookMost), now
}

// rest is how long nothing may be spent: when more is owed than one search may come to
// owe.
func (b *budget) rest() time.Duration { return max(0, -lookMost/2-b.left) * lookShare }
