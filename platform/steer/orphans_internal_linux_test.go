package steer

import "testing"

// FuzzParseSocket: what the kernel says is taken as far as it goes.
func FuzzParseSocket(f *testing.F) {
	f.Add(make([]byte, diagMessageSize))
	f.Add(append([]byte{10, 6}, make([]byte, diagMessageSize)...))
	f.Add([]byte{2, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, ok := parseSocket(b); ok && (len(b) < diagMessageSize || !o.local.IsValid()) {
			t.Errorf("%x is read as %+v", b, o)
		}
	})
}
