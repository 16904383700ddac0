package neighbour

import (
	"net/netip"
	"testing"
	"time"
)

// BenchmarkKnown is what each connection waits for.
func BenchmarkKnown(b *testing.B) {
	k := newFakeKernel()
	for _, a := range []string{"192.168.7.20", "fe80::20", "2001:db8::1:20", "2001:db8::2:20"} {
		k.put(a, 1, false)
	}
	w := begin(Options{}, k, nil, nil)
	defer w.Close()
	w.told = true
	who(w, "192.168.7.20")
	w.mu.Lock()
	w.read = time.Now().Add(time.Hour)
	w.mu.Unlock()
	client := netip.MustParseAddr("2001:db8::1:20")
	for b.Loop() {
		if d, known := w.Known(client); d == nil || !known {
			b.Fatal(d, known)
		}
	}
}
