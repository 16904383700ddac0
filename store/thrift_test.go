package store

import "testing"

func TestThrifty(t *testing.T) {
	for _, c := range []struct {
		name         string
		live, tables int64
		want         int
	}{
		{"before-the-first-collection", 0, 0, 100},
		{"no-tables", 20 << 20, 0, 100},
		{"half-of-it", 20 << 20, 10 << 20, 50},
		{"most-of-it", 100 << 20, 95 << 20, leastPercent},
		{"grown-since", 10 << 20, 20 << 20, leastPercent},
	} {
		if got := thrifty(c.live, c.tables); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
