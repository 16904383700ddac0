package store

import "transom/flow"

// current returns a flow that has not ended with its bodies as long as they are by now: its
// last state may be of long ago. ref names a body that is being written.
func current(f *flow.Flow, ref func(number uint64) (flow.BodyRef, bool)) *flow.Flow {
	if f.State != flow.Open {
		return f
	}
	var now [4]*flow.BodyRef
	longer := false
	for i, was := range refsOf(f) {
		if was == nil || was.Segment == 0 {
			continue
		}
		if is, ok := ref(was.Segment); ok && is.Size > was.Size {
			now[i], longer = &is, true
		}
	}
	if !longer {
		return f
	}
	f = withDetail(f)
	for i, was := range refsOf(f) {
		if now[i] != nil {
			*was = *now[i]
		}
	}
	return f
}

// withDetail copies a flow, and what refsOf says of it.
func withDetail(f *flow.Flow) *flow.Flow {
	c := *f
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		h := *d
		h.OriginalRequestBody, h.OriginalResponseBody = copyOf(h.OriginalRequestBody), copyOf(h.OriginalResponseBody)
		c.Detail = &h
	case *flow.Messages:
		m := *d
		c.Detail = &m
	}
	return &c
}

func copyOf(ref *flow.BodyRef) *flow.BodyRef {
	if ref == nil {
		return nil
	}
	c := *ref
	return &c
}

// current is that for a flow of the store's.
func (d *Disk) current(f *flow.Flow) *flow.Flow {
	return current(f, func(number uint64) (flow.BodyRef, bool) {
		d.mu.Lock()
		s := d.streams[number]
		d.mu.Unlock()
		if s == nil {
			return flow.BodyRef{}, false
		}
		return s.Ref(), true
	})
}

// current is that for a flow of the store's.
func (m *Memory) current(f *flow.Flow) *flow.Flow {
	return current(f, func(number uint64) (flow.BodyRef, bool) {
		m.mu.Lock()
		b := m.bodies[number]
		m.mu.Unlock()
		if b == nil {
			return flow.BodyRef{}, false
		}
		return b.Ref(), true
	})
}
