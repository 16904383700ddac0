package main

import (
	"context"
	"fmt"
	"time"

	"transom/filter"
	"transom/store"
)

// page is how many flows a person sees at a time.
const page = 100

// orders are those in which flows are looked at.
var orders = [...]struct {
	name string
	by   store.Order
	down bool
}{
	{"newest", store.ByTime, true},
	{"oldest", store.ByTime, false},
	{"largest", store.BySize, true},
	{"smallest", store.BySize, false},
	{"longest", store.ByDuration, true},
	{"by host", store.ByHost, false},
}

// tries is how often most things are looked for: other programs run, too.
const tries = 5

// firstPages says how long the first page takes of some filters: from many flows to none.
func (x *million) firstPages(ctx context.Context) error {
	head := []string{"first page, ms; the shortest of five", ""}
	for _, o := range orders {
		head = append(head, o.name)
	}
	x.pages = append(x.pages, head)
	slowest := time.Duration(0)
	for _, text := range []string{
		"~all", "~d " + word(7), "~c 404", "~c 503 & ~m POST", "~u /api/v1/", `~u "/api/v1/.*id=4242&"`, `~u "id=(4242|4243)&"`, "~u nosuchthing", "~t json & !~c 200",
		"~src 192.168.7.5", "~duration >500ms", "~websocket", "~tcp", "~dns", "~e",
	} {
		line := []string{text, ""}
		for _, o := range orders {
			took, _, err := x.shortest(ctx, text, store.Query{By: o.by, Descending: o.down, Limit: page})
			if err != nil {
				return err
			}
			slowest = max(slowest, took)
			line = append(line, figure(took.Seconds()*1e3))
		}
		x.pages = append(x.pages, line)
	}
	x.say("slowest first page", "%s ms, of those below", figure(slowest.Seconds()*1e3))
	return nil
}

// first reads a page, and says how long that took, and how many flows there were.
func (x *million) first(ctx context.Context, text string, q store.Query) (took time.Duration, n int, err error) {
	if q.Filter, err = filter.Parse(text, filter.Options{}); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	for _, err := range x.d.Flows(ctx, q) {
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", text, err)
		}
		n++
	}
	return time.Since(began), n, nil
}

// shortest is the shortest of some times.
func (x *million) shortest(ctx context.Context, text string, q store.Query) (took time.Duration, n int, err error) {
	for i := range tries {
		again, found, err := x.first(ctx, text, q)
		if err != nil {
			return 0, 0, err
		}
		if n = found; i == 0 || again < took {
			took = again
		}
	}
	return took, n, nil
}

// lookForWords looks for words that are frequent, rare, and not there.
func (x *million) lookForWords(ctx context.Context) error {
	if !x.words {
		return nil
	}
	for _, text := range []string{"~words " + word(0), "~words '" + word(19_990) + " " + word(15_000) + "'", "~words nosuchword"} {
		took, n, err := x.shortest(ctx, text, store.Query{Descending: true, Limit: page})
		if err != nil {
			return err
		}
		x.say(text, "%s ms for %d flows", figure(took.Seconds()*1e3), n)
	}
	return nil
}

// lookForText looks for text in bodies: until the first that has some, and then for some
// that none has.
func (x *million) lookForText(ctx context.Context) error {
	some := `"` + word(7)[1:] + `.*` + word(9) + `"`
	took, n, err := x.shortest(ctx, "~b "+some, store.Query{Descending: true, Limit: 1})
	if err != nil {
		return err
	}
	x.say("~b "+some, "%s ms until the first of %d", figure(took.Seconds()*1e3), n)
	if took, n, err = x.first(ctx, "~b nosuchtext", store.Query{}); err != nil {
		return err
	}
	x.say("~b nosuchtext", "%s s for all bodies, %s MiB/s; %d flows", figure(took.Seconds()), figure(float64(x.mix.bodies)/took.Seconds()/(1<<20)), n)
	return nil
}
