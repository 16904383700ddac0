package sniff_test

import (
	"os"
	"testing"

	"transom/internal/proto/sniff"
)

func BenchmarkClientHello(b *testing.B) {
	for _, file := range []string{"curl", "go-pq"} {
		stream, err := os.ReadFile("testdata/" + file + ".hello")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(file, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := sniff.Stream(stream); !r.Complete {
					b.Fatal(r)
				}
			}
		})
	}
}

func BenchmarkRequestLine(b *testing.B) {
	line := []byte("GET /some/path/of/usual/length?with=query HTTP/1.1\r\nHost: shop.example\r\n")
	b.ReportAllocs()
	for b.Loop() {
		if r := sniff.Stream(line); r.Answer != sniff.Yes {
			b.Fatal(r)
		}
	}
}

func TestAllocations(t *testing.T) {
	stream, err := os.ReadFile("testdata/curl.hello")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		in   []byte
		most float64
	}{
		"hello":      {stream, 8},
		"half-hello": {stream[:200], 0},
		"request":    {[]byte("GET / HTTP/1.1\r\n"), 0},
		"other":      {[]byte("EHLO a\r\n"), 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if n := testing.AllocsPerRun(100, func() { sniff.Stream(c.in) }); n > c.most {
				t.Errorf("%v allocations, want at most %v", n, c.most)
			}
		})
	}
}
