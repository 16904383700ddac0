package show

import (
	"context"

	"transom/flow"
)

// A choice says which flows are shown.
type choice struct {
	*Options
	ctx    context.Context
	looked map[flow.ID]int64 // of open flows whose bodies don't match, how much there was
	failed bool              // it was said
}

// match reports whether f is shown. One that can't be judged is.
func (c *choice) match(f *flow.Flow) bool {
	if c.Filter == nil {
		return true
	}
	if !c.worth(f) {
		return false
	}
	ok, err := c.Filter.Match(c.ctx, f, c.Store)
	if err != nil && !c.failed && c.Log != nil {
		c.failed = true
		c.Log.Warn("a flow is shown though the filter could not be applied to it; more of these are not mentioned", "err", err)
	}
	return ok
}

// worth reports whether f is to be looked at again. Bodies that grow are read anew
// when there is twice as much, and at the end.
func (c *choice) worth(f *flow.Flow) bool {
	if !c.Filter.NeedsBody() {
		return true
	}
	if f.State != flow.Open {
		delete(c.looked, f.ID)
		return true
	}
	n := carried(f)
	if before, ok := c.looked[f.ID]; ok && n < 2*before+1 {
		return false
	}
	if c.looked == nil || len(c.looked) >= maxOpen {
		c.looked = map[flow.ID]int64{}
	}
	c.looked[f.ID] = n
	return true
}

// carried is how much f has of bodies and messages.
func carried(f *flow.Flow) int64 {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.RequestBody.Kept + d.ResponseBody.Kept
	case *flow.Messages:
		return d.Log.Kept
	}
	return 0
}
