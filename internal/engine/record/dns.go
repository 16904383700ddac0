package record

import (
	"sync"
	"time"

	"transom/flow"
)

// A Query records one query of DNS and its answer, as one flow.
type Query struct {
	c     *Conn
	near  links
	start flow.Flow

	mu     sync.Mutex
	detail flow.DNS
	ended  bool
}

// Query begins the flow of a query, nil if there is none to an answer that came, and
// publishes it. It ends with its answer, or with the connection.
func (c *Conn) Query(info *flow.Conn, m *flow.DNSMessage) *Query {
	now := time.Now()
	q := &Query{c: c, detail: flow.DNS{Query: m}, start: flow.Flow{ID: flow.NewID(now), Conn: info, Start: now}}
	d := q.detail
	q.start.Detail = &d
	c.enter(q)
	f := q.start
	c.publish(&f)
	return q
}

func (q *Query) links() *links { return &q.near }

// Note adds an oddity to the record.
func (q *Query) Note(text string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.detail.Notes = append(q.detail.Notes, text)
}

// Answer ends the flow with what was answered. info is what is known of the
// connection now.
func (q *Query) Answer(info *flow.Conn, m *flow.DNSMessage) { q.end(info, m, "") }

// Fail ends the flow without an answer.
func (q *Query) Fail(why string) { q.end(q.c.latest(), nil, why) }

// tend implements ender. There is nothing more to know of a query before its answer.
func (q *Query) tend(time.Time) {}

// abandon implements ender.
func (q *Query) abandon(err error) {
	why := "no answer came"
	if err != nil {
		why += ": " + err.Error()
	}
	q.Fail(why)
}

func (q *Query) end(info *flow.Conn, m *flow.DNSMessage, why string) {
	q.mu.Lock()
	ended := q.ended
	q.ended, q.detail.Answer = true, m
	d := q.detail
	q.mu.Unlock()
	if ended {
		return
	}
	f := q.start
	f.Rev, f.Conn, f.End, f.State, f.Err, f.Detail = 1, info, time.Now(), flow.Done, why, &d
	if why != "" {
		f.State = flow.Failed
	}
	q.c.leave(q)
	q.c.publish(&f)
}
