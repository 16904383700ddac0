package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"transom/app/control"
	"transom/filter"
	"transom/flow"
	"transom/platform"
	"transom/platform/doctor"
	"transom/store"
)

// How much is asked of what has been recorded.
const (
	refusalsMost = 500 // connections, the latest ones
	refusersMost = 8   // clients
)

// refused is how connections are recorded whose client did not take our certificate,
// but for those that were shown one that verifies no better than the server's.
const refused = `~reason "refused our certificate|may not accept our certificate|does not trust our certificate" & !~reason "does not verify"`

// lookAtClients adds what the transom that runs has recorded of clients that refused the
// certificate.
func lookAtClients(ctx context.Context, m *doctor.Machine) {
	pids, err := platform.Controls()
	switch {
	case err != nil || len(pids) == 0: // there is none, or it can't be known of any
		return
	case m.Running != nil && m.Running.PID != 0:
		pids = []int{m.Running.PID}
	case len(pids) > 1: // who knows which is meant
		return
	}
	from := clientOf(pids[0])
	defer from.Close()
	m.Clients = &doctor.Clients{}
	m.Clients.Err = refusals(ctx, from, m.Clients)
}

// refusals sorts the latest ones by whose they were.
func refusals(ctx context.Context, from *control.Client, c *doctor.Clients) error {
	q := store.Query{Descending: true, Limit: refusalsMost}
	var err error
	if q.Filter, err = filter.Parse(refused, filter.Options{}); err != nil {
		return err
	}
	for f, err := range from.Flows(ctx, q) {
		switch {
		case err != nil && !errors.Is(err, store.ErrGone):
			return err
		case err != nil || f.Conn == nil:
			continue
		}
		addRefusal(c, f)
	}
	var left []doctor.Refusal
	for _, r := range c.Refusals {
		since := fmt.Sprintf(` & ~name "^%s$" & ~since %s`, regexp.QuoteMeta(r.Host), r.Last.UTC().Format(time.RFC3339))
		if mended, err := decrypted(ctx, from, &r, since); err != nil {
			return err
		} else if mended {
			continue
		}
		if r.Trusts, err = decrypted(ctx, from, &r, ""); err != nil {
			return err
		}
		left = append(left, r)
	}
	c.Refusals = left
	return nil
}

// addRefusal counts one, which is no later than those before.
func addRefusal(c *doctor.Clients, f *flow.Flow) {
	r := doctor.Refusal{Client: f.Conn.Client.Addr().Unmap(), Last: f.Start.Local(), Host: f.Conn.Name(), Count: 1}
	switch p, d := f.Conn.Process, f.Conn.Device; {
	case p != nil:
		r.Local, r.Name = true, p.Name
	case d != nil:
		r.Name = cmp.Or(d.Name, d.MAC)
	}
	// A device's name may not be known of each connection, which makes it no other one.
	i := slices.IndexFunc(c.Refusals, func(o doctor.Refusal) bool {
		return o.Client == r.Client && o.Local == r.Local && (o.Name == r.Name || !r.Local)
	})
	switch {
	case i >= 0:
		c.Refusals[i].Count++
		c.Refusals[i].Name = cmp.Or(c.Refusals[i].Name, r.Name)
	case len(c.Refusals) == refusersMost:
		c.More = true
	default:
		c.Refusals = append(c.Refusals, r)
	}
}

// decrypted reports whether something of the same client's was, of what expr says. It
// says little of programs of this host, each of which has a list of its own.
func decrypted(ctx context.Context, from *control.Client, r *doctor.Refusal, expr string) (bool, error) {
	if r.Local && expr == "" {
		return false, nil
	}
	read, err := filter.Parse("~u ^https: & ~srcnet "+r.Client.WithZone("").String()+expr, filter.Options{})
	if err != nil {
		return false, err
	}
	for _, err := range from.Flows(ctx, store.Query{Filter: read, Limit: 1, Descending: true}) {
		return err == nil, err
	}
	return false, nil
}
