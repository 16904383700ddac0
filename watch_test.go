package transom_test

import (
	"bufio"
	"io"
	"testing"
	"testing/synctest"

	"transom"
	"transom/flow"
	"transom/internal/testnet"
	"transom/store"
)

// TestWatcherFallsBehind further than what the bus holds: the store has what it
// missed, each flow once, and what the store has not either is counted.
func TestWatcherFallsBehind(t *testing.T) {
	const requests = 17_000
	for _, tc := range []struct {
		name string
		max  int64
	}{{"kept", 1 << 30}, {"not-kept", 256 << 10}} {
		t.Run(tc.name, func(t *testing.T) {
			small := func(p *transom.Proxy) { p.Store = store.NewMemory(store.MemoryOptions{MaxBytes: tc.max}) }
			inWorld(t, small, func(w *world) {
				news := w.proxy.Watch(t.Context())
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					for {
						if _, err := readHead(r); err != nil {
							return
						}
						io.WriteString(c, "HTTP/1.1 204 No\r\n\r\n") // it is gone when that fails
					}
				})
				c := w.dial(serverAddr)
				for range requests {
					w.say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
				}
				c.Close()
				synctest.Wait()
				w.end()
				w.proxy.Close()

				ends, lost := map[flow.ID]int{}, 0
				for f, n := range news {
					lost += n
					if f != nil && f.State != flow.Open {
						ends[f.ID]++
					}
				}
				for id, n := range ends {
					if n != 1 {
						t.Fatalf("%v ended %d times", id, n)
					}
				}
				if len(ends)+lost != requests+1 || (lost == 0) != (tc.name == "kept") { // with the connection's
					t.Errorf("%d ended, %d lost", len(ends), lost)
				}
			})
		})
	}
}
