package record_test

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/bus"
	"transom/internal/engine/record"
	"transom/message"
	"transom/store"
)

// A piped body gives what is written to the other end.
func piped() (*exchange.Body, *io.PipeWriter) {
	r, w := io.Pipe()
	return exchange.NewBody(&source{Reader: r}, -1, nil), w
}

// follower returns what has become of the one flow since it was asked last.
func follower(t *testing.T, r *record.Recorder) func() *flow.Flow {
	t.Helper()
	sub := r.Bus.Follow("test", 16)
	t.Cleanup(sub.Close)
	rev := uint32(0)
	return func() *flow.Flow {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour) // of fake time
		defer cancel()
		n, err := sub.Next(ctx)
		if err != nil {
			return nil
		}
		if len(n.Flows) != 1 || n.Flows[0].Rev < rev {
			t.Fatalf("%d flows, the first %+v after revision %d", len(n.Flows), n.Flows[0], rev)
		}
		rev = n.Flows[0].Rev + 1
		return n.Flows[0]
	}
}

// Both bodies of an exchange are seen to grow.
func TestExchangeGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		next := follower(t, r)
		up, upw := piped()
		down, downw := piped()
		c := r.Conn(newInfo())
		h := c.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return response(200, down), nil
		}))
		resp, err := h.Exchange(t.Context(), request("POST", up))
		if err != nil {
			t.Fatal(err)
		}
		if f := next(); f.State != flow.Open || f.Detail.(*flow.HTTP).Response.Status != 200 {
			t.Errorf("begun: %+v", f)
		}
		buf := make([]byte, 10)
		read := func(from *exchange.Body, w *io.PipeWriter, text string) {
			go io.WriteString(w, text)
			if n, err := from.Read(buf); string(buf[:n]) != text || err != nil {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
		read(up, upw, "one")
		read(resp.Body, downw, "two")
		d := next().Detail.(*flow.HTTP)
		if got := s.body(t, d.RequestBody) + s.body(t, d.ResponseBody); got != "onetwo" {
			t.Errorf("kept %q", got)
		}
		read(resp.Body, downw, "three")
		if d = next().Detail.(*flow.HTTP); d.ResponseBody.Size != 8 || d.RequestBody.Size != 3 {
			t.Errorf("%+v", d)
		}
		if f := next(); f != nil {
			t.Errorf("nothing has come, and yet %+v", f)
		}
		downw.Close()
		upw.Close()
		io.ReadAll(resp.Body)
		io.ReadAll(up)
		end := next()
		if end.State != flow.Done {
			t.Errorf("at the end %+v", end)
		}
		if fs := s.take(); len(fs) != 2 || fs[1].Rev != end.Rev {
			t.Errorf("%d snapshots were put", len(fs))
		}
	})
}

// What middleware has not passed on yet is not shown: it may still become
// something else.
func TestGrowthIsOfWhatIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		next := follower(t, r)
		step := func(what, request, original, response string) {
			t.Helper()
			f := next()
			if f == nil {
				t.Fatalf("%s: no news", what)
			}
			d := f.Detail.(*flow.HTTP)
			got := []string{s.body(t, d.RequestBody), "", s.body(t, d.ResponseBody)}
			if d.OriginalRequestBody != nil {
				got[1] = s.body(t, *d.OriginalRequestBody)
			}
			if got[0] != request || got[1] != original || got[2] != response || (d.Response == nil) != (response == "") {
				t.Errorf("%s: %q %+v", what, got, d.Response)
			}
		}
		shout := func(h exchange.Handler) exchange.Handler {
			return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
				next() // it has begun
				if _, err := req.Body.Bytes(ctx, 100); err != nil {
					return nil, err
				}
				step("read", "", "", "")
				req.Body.Set([]byte("HELLO"))
				resp, err := h.Exchange(ctx, req)
				if err != nil {
					return nil, err
				}
				step("sent", "HELLO", "hello", "")
				_, err = resp.Body.Bytes(ctx, 100)
				step("response-read", "HELLO", "hello", "")
				return resp, err
			})
		}
		c := r.Conn(newInfo())
		h := c.HTTP(shout)(ok("fine"))
		resp, err := h.Exchange(t.Context(), request("POST", streamed("hello")))
		if err != nil {
			t.Fatal(err)
		}
		step("ended", "HELLO", "hello", "fine")
		resp.Body.Close()
	})
}

// What is under way for long is put into the store, so that it is there if we die.
func TestLongExchangesArePut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		down, w := piped()
		h := r.Conn(newInfo()).HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return response(200, down), nil
		}))
		resp, err := h.Exchange(t.Context(), request("GET", exchange.NoBody()))
		if err != nil {
			t.Fatal(err)
		}
		puts := 0
		for i := range 40 {
			time.Sleep(time.Second / 4)
			go io.WriteString(w, "part")
			if _, err := resp.Body.Read(make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			for _, f := range s.take() {
				if d := f.Detail.(*flow.HTTP); i > 0 && (f.State != flow.Open || d.Response == nil || d.ResponseBody.Size != int64(4*i+4)) {
					t.Errorf("after %d parts: %+v", i+1, d)
				}
				puts++
			}
		}
		if want := 1 + 4; puts != want { // when it began, and after 1, 2, 4 and 8 seconds
			t.Errorf("put %d times, want %d", puts, want)
		}
		w.Close()
		io.ReadAll(resp.Body)
		if fs := s.take(); len(fs) != 1 || fs[0].State != flow.Done {
			t.Errorf("at the end: %+v", fs)
		}
	})
}

// What came within the first second, or since the store was told, is put there though nothing comes after it.
func TestStalledExchangesArePut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		c, began := r.Conn(newInfo()), time.Now()
		status := func(want ...int) {
			t.Helper()
			c.Tend(time.Now())
			var got []int
			for _, f := range s.take() {
				d, status := f.Detail.(*flow.HTTP), 0
				if d.Response != nil {
					status = d.Response.Status
				}
				if f.State != flow.Open {
					t.Errorf("%+v", f)
				}
				got = append(got, status)
			}
			if !slices.Equal(got, want) {
				t.Errorf("after %v: put with %v, want %v", time.Since(began), got, want)
			}
		}
		up, upw := piped()
		down, downw := piped()
		answer := make(chan struct{})
		h := c.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			<-answer
			return response(200, down), nil
		}))
		var resp *exchange.Response
		done := make(chan struct{})
		go func() {
			defer close(done)
			resp, _ = h.Exchange(t.Context(), request("POST", up))
		}()
		synctest.Wait()
		status(0)
		for range 4 { // a long request
			go io.WriteString(upw, "part")
			up.Read(make([]byte, 4))
			time.Sleep(time.Second / 4)
		}
		status(0)
		status() // nothing has come since
		time.Sleep(5 * time.Second)
		status()
		close(answer)
		<-done
		status(200) // though it is not twice as old
		go io.WriteString(downw, "part")
		resp.Body.Read(make([]byte, 4))
		status()
		time.Sleep(5 * time.Second)
		status()
		time.Sleep(5 * time.Second)
		status(200)
		time.Sleep(time.Hour)
		status()
		downw.Close()
		upw.Close()
		io.ReadAll(resp.Body)
		io.ReadAll(up)
		if fs := s.take(); len(fs) != 1 || fs[0].State != flow.Done {
			t.Errorf("at the end: %+v", fs)
		}
	})
}

// And so is a conversation.
func TestLongConversationsArePut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		m := r.Conn(newInfo()).Messages(newInfo(), nil)
		h := m.Middleware()(discard)
		puts := 0
		for i := range 40 {
			time.Sleep(time.Second / 4)
			say(h, message.ToClient, "hi")
			for _, f := range s.take() {
				if d := f.Detail.(*flow.Messages); puts > 0 && (f.State != flow.Open || d.Count[1] != int64(i+1) || d.Log.Size == 0) {
					t.Errorf("after %d messages: %+v", i+1, d)
				}
				puts++
			}
		}
		if want := 1 + 4; puts != want { // when it began, and after 1, 2, 4 and 8 seconds
			t.Errorf("put %d times, want %d", puts, want)
		}
		m.End(flow.FIN, flow.FIN)
		if fs := s.take(); len(fs) != 1 || fs[0].State != flow.Done {
			t.Errorf("at the end: %+v", fs)
		}
	})
}

func TestMessagesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := newRecorder(t)
		next := follower(t, r)
		m := r.Conn(newInfo()).Messages(newInfo(), nil)
		h := m.Middleware()(discard)
		next()
		for i := range int64(3) {
			say(h, message.ToClient, "hi")
			if d := next().Detail.(*flow.Messages); d.Count[1] != i+1 || len(entries(t, s, d.Log)) != int(i+1)*len("0s < hi\n") {
				t.Errorf("%d: %+v", i, d)
			}
		}
		m.End(flow.FIN, flow.FIN)
		say(h, message.ToClient, "late")
		if f := next(); f.State != flow.Done {
			t.Errorf("%+v", f)
		}
		if f := next(); f != nil {
			t.Errorf("past the end: %+v", f)
		}
	})
}

// Bytes and messages cost no allocation, whether somebody follows or not.
func TestGrowthAllocatesNothing(t *testing.T) {
	for name, followed := range map[string]bool{"alone": false, "followed": true} {
		t.Run(name, func(t *testing.T) {
			r := &record.Recorder{Bus: new(bus.Bus), Store: store.NewMemory(store.MemoryOptions{BodyLimit: -1})}
			if followed {
				defer r.Bus.Follow("test", 16).Close()
			}
			c := r.Conn(newInfo())
			h := c.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
				return response(200, exchange.NewBody(&endless{gone: make(chan struct{})}, -1, nil)), nil
			}))
			resp, err := h.Exchange(t.Context(), request("GET", exchange.NoBody()))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			buf := make([]byte, 1000)
			if n := testing.AllocsPerRun(1000, func() { resp.Body.Read(buf) }); n != 0 {
				t.Errorf("%v allocations a read", n)
			}
			said := c.Messages(newInfo(), nil)
			defer said.End(flow.FIN, flow.FIN)
			pass := said.Middleware()(discard)
			msg := &message.Message{Payload: buf}
			if n := testing.AllocsPerRun(1000, func() { pass.Message(t.Context(), nil, msg) }); n != 0 {
				t.Errorf("%v allocations a message", n)
			}
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, name := range []string{"alone", "followed"} {
		b.Run(name, func(b *testing.B) {
			r := &record.Recorder{Bus: new(bus.Bus), Store: store.NewMemory(store.MemoryOptions{})}
			if name == "followed" {
				defer r.Bus.Follow("bench", 16).Close()
			}
			h := r.Conn(newInfo()).HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
				return response(200, exchange.NewBody(&endless{gone: make(chan struct{})}, -1, nil)), nil
			}))
			resp, err := h.Exchange(b.Context(), request("GET", exchange.NoBody()))
			if err != nil {
				b.Fatal(err)
			}
			defer resp.Body.Close()
			buf := make([]byte, 1000)
			b.ReportAllocs()
			for b.Loop() {
				resp.Body.Read(buf)
			}
		})
	}
}
