package record_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/engine/record"
	"transom/message"
	"transom/store"
)

var discard = message.HandlerFunc(func(context.Context, *flow.Conn, *message.Message) error { return nil })

func say(h message.Handler, dir message.Direction, s string) {
	h.Message(context.Background(), nil, &message.Message{Dir: dir, Payload: []byte(s)})
}

// entries reads a log back as lines.
func entries(t *testing.T, s *spy, ref flow.BodyRef) string {
	t.Helper()
	var out strings.Builder
	for e, err := range message.ReadLog(strings.NewReader(s.body(t, ref))) {
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(e.At.String() + [...]string{" > ", " < "}[e.Dir] + string(e.Payload))
		if e.Changed {
			out.WriteString(" (changed)")
		}
		if e.Dropped {
			out.WriteString(" (dropped)")
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		c := r.Conn(newInfo())
		m := c.Messages(newInfo(), nil)
		h := m.Middleware()(discard)
		say(h, message.ToServer, "EHLO")
		time.Sleep(time.Second)
		say(h, message.ToClient, "250 hello")
		m.End(flow.FIN, flow.FIN)
		m.End(flow.RST, flow.RST)
		fs := s.take()
		if len(fs) != 3 || fs[0].Type() != "tcp" || fs[2].State != flow.Done || fs[2].Duration() != time.Second { // one in between, after a second
			t.Fatalf("%+v", fs)
		}
		d := fs[2].Detail.(*flow.Messages)
		if d.Count != [2]int64{1, 1} || d.Bytes != [2]int64{4, 9} {
			t.Errorf("%+v", d)
		}
		if got, want := entries(t, s, d.Log), "0s > EHLO\n1s < 250 hello\n"; got != want {
			t.Errorf("log:\n%swant:\n%s", got, want)
		}
		if early := fs[0].Detail.(*flow.Messages); early.Log.Segment != d.Log.Segment || early.Count != [2]int64{} {
			t.Errorf("at the start: %+v", early)
		}
	})
}

func TestMessagesThroughMiddleware(t *testing.T) {
	mw := func(next message.Handler) message.Handler {
		return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, m *message.Message) error {
			switch string(m.Payload) {
			case "drop":
				return nil
			case "change":
				m.Payload = bytes.ToUpper(m.Payload)
			case "twice":
				next.Message(ctx, c, m)
			}
			return next.Message(ctx, c, m)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		m := r.Conn(newInfo()).Messages(newInfo(), mw)
		h := m.Middleware()(discard)
		for _, p := range []string{"same", "drop", "change", "twice"} {
			say(h, message.ToServer, p)
		}
		m.End(flow.FIN, flow.FIN)
		d := s.take()[1].Detail.(*flow.Messages)
		want := "0s > same\n0s > drop (dropped)\n0s > CHANGE (changed)\n0s > twice\n0s > twice (changed)\n"
		if got := entries(t, s, d.Log); got != want {
			t.Errorf("log:\n%swant:\n%s", got, want)
		}
		if d.Count[0] != 4 {
			t.Errorf("%+v", d)
		}
	})
}

func TestMessagesEnds(t *testing.T) {
	for _, tc := range []struct {
		name           string
		client, server flow.Close
		err            string
	}{
		{"fin", flow.FIN, flow.FIN, ""},
		{"us", flow.FIN, flow.ClosedByUs, ""},
		{"client-reset", flow.RST, flow.ClosedByUs, "client reset the connection"},
		{"server-silent", flow.FIN, flow.Timeout, "server did not answer in time"},
		{"alert", flow.FIN, flow.Alert, "server ended with alert"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, s := newRecorder(t)
			r.Conn(newInfo()).Messages(newInfo(), nil).End(tc.client, tc.server)
			if f := s.take()[1]; f.Err != tc.err || (f.State == flow.Failed) != (tc.err != "") {
				t.Errorf("%v, %q", f.State, f.Err)
			}
		})
	}
}

// The counts stay exact when the log is full, and with both directions at once.
func TestMessagesPastTheLimit(t *testing.T) {
	s := &spy{Memory: store.NewMemory(store.MemoryOptions{BodyLimit: 10_000})}
	defer s.Close()
	r := &record.Recorder{Store: s}
	m := r.Conn(newInfo()).Messages(newInfo(), nil)
	h := m.Middleware()(discard)
	var wg sync.WaitGroup
	for _, dir := range []message.Direction{message.ToServer, message.ToClient} {
		wg.Go(func() {
			for range 500 {
				say(h, dir, strings.Repeat("x", 100))
			}
		})
	}
	wg.Wait()
	m.End(flow.FIN, flow.FIN)
	d := s.take()[1].Detail.(*flow.Messages)
	if d.Count != [2]int64{500, 500} || d.Bytes != [2]int64{50_000, 50_000} || !d.Log.Truncated || d.Log.Kept != 10_000 {
		t.Errorf("%+v", d)
	}
	if n := strings.Count(entries(t, s, d.Log), "\n"); n < 90 || n > 100 {
		t.Errorf("%d entries", n)
	}
}
