package nft

import (
	"testing"
)

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 36, 0, 0, 0, 6, 10, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x44\x00\x00\x00\x02\x00\x00\x03\x07\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\x24\x00\x00\x00\x06\x0a\x05\x00\x07\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x01\x00no chain\x00\x00\x00\x00"))
	f.Add([]byte{16, 0, 0, 0, 3, 0, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, a := range parseAnswers(nil, b) {
			if len(a.text) > len(b) {
				t.Fatalf("text of %d bytes out of %d", len(a.text), len(b))
			}
		}
		if _, _, err := tableNames(b, 7); err != nil && len(b) == 0 {
			t.Fatal(err)
		}
	})
}
