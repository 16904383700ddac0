package export

import "transom/flow"

// maxHandshakes bounds how many exchanges wait for what they began.
const maxHandshakes = 4096

// Handshakes joins what formats of other programs have as one: an exchange, and the
// WebSocket that it began. Here these are two flows, and the exchange ends first. The
// zero value is ready.
type Handshakes struct {
	waiting map[flow.ID]*flow.Flow
	order   []flow.ID
}

// A Joined is an exchange with what it began. One of the two may be nil: a WebSocket
// whose exchange was not seen, or an exchange that is nothing more.
type Joined struct{ HTTP, Messages *flow.Flow }

// Add takes the next flow that has ended, of HTTP or a WebSocket's, and returns what
// is complete by that: at most two, if an exchange has waited for too long.
func (h *Handshakes) Add(f *flow.Flow) []Joined {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		if d.Began.IsZero() {
			return []Joined{{HTTP: f}}
		}
		return h.wait(f, d.Began)
	case *flow.Messages:
		exchange := h.waiting[f.ID]
		delete(h.waiting, f.ID)
		return []Joined{{HTTP: exchange, Messages: f}}
	}
	return nil
}

// wait keeps an exchange until the flow that it began has ended.
func (h *Handshakes) wait(f *flow.Flow, began flow.ID) (done []Joined) {
	if h.waiting == nil {
		h.waiting = map[flow.ID]*flow.Flow{}
	}
	h.order = append(h.order, began)
	h.waiting[began] = f
	for len(h.waiting) > maxHandshakes {
		oldest := h.order[0]
		h.order = h.order[1:]
		if f := h.waiting[oldest]; f != nil {
			delete(h.waiting, oldest)
			done = append(done, Joined{HTTP: f})
		}
	}
	if len(h.order) > 2*maxHandshakes {
		h.forget()
	}
	return done
}

// forget drops from the order what waits no more.
func (h *Handshakes) forget() {
	kept := h.order[:0]
	for _, id := range h.order {
		if h.waiting[id] != nil {
			kept = append(kept, id)
		}
	}
	h.order = kept
}

// Rest returns the exchanges that still wait, the oldest first.
func (h *Handshakes) Rest() (done []Joined) {
	for _, id := range h.order {
		if f := h.waiting[id]; f != nil {
			done = append(done, Joined{HTTP: f})
		}
	}
	h.waiting, h.order = nil, nil
	return done
}
