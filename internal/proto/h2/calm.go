package h2

import "time"

// A calm keeps account of frames that cost us more than they cost their sender
// and carry nothing: SETTINGS, PING, PRIORITY, resets, empty DATA, and the like
// (RFC 9113, section 10.5). Payload and completed requests pay for them, and so
// does time. Its user holds the connection's lock.
type calm struct {
	debt int
	last time.Time
}

const (
	calmMax       = 2000 // cheap frames that may be owed
	calmPerSecond = 100  // that time pays for

	costFrame = 1
	costReset = 5   // a request that was begun for nothing
	payData   = 4   // a DATA frame with something in it, either way
	payBytes  = 256 // and each so many bytes of it
	payStream = 20  // a request carried to its end
)

// cost takes n into account; the error ends the connection.
func (c *calm) cost(n int, what string) error {
	c.debt += n
	if c.debt <= calmMax {
		return nil
	}
	now := time.Now()
	if c.last.IsZero() {
		c.last = now.Add(-time.Second)
	}
	if paid := int(now.Sub(c.last).Seconds() * calmPerSecond); paid > 0 {
		c.last = now
		c.debt = max(c.debt-paid, 0)
	}
	if c.debt <= calmMax {
		return nil
	}
	return violation(EnhanceYourCalm, "too many frames that carry nothing, the last of them %s", what)
}

func (c *calm) pay(n int) { c.debt = max(c.debt-n, 0) }
