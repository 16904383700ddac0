package index_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"transom/filter"
	"transom/store/index"
)

// FuzzUnpack: whatever a file has in it is read without harm.
func FuzzUnpack(f *testing.F) {
	for _, p := range index.Packed() {
		f.Add(p)
	}
	f.Fuzz(func(_ *testing.T, data []byte) { index.Unpack(data) })
}

// TestPack: what is packed is unpacked the same.
func TestPack(t *testing.T) {
	odd := rapid.SampledFrom([]int64{filter.None, filter.Unknown, filter.Unknown + 1, filter.Unknown + 2, -1, 0, 1, 255, 256, 1 << 62, 1<<63 - 1, 1<<63 - 2})
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.OneOf(odd, rapid.Int64(), rapid.Int64Range(0, 300))).Draw(t, "numbers")
		dict := rapid.SliceOfNDistinct(rapid.String(), 1, 8, func(s string) string { return s }).Draw(t, "dict")
		for i, s := range dict {
			if len(s) < 128 && rapid.Bool().Draw(t, "list") {
				dict[i] = string(rune(len(s))) + s // as a list of one
			}
		}
		codes := rapid.SliceOf(rapid.Int64Range(0, int64(len(dict)-1))).Draw(t, "codes")
		var want []string
		for _, c := range codes {
			want = append(want, dict[c])
		}
		n, texts, err := index.Repack(numbers, dict, codes)
		if err != nil || !slices.Equal(n, numbers) || !slices.Equal(texts, want) {
			t.Fatalf("%v: %v, %q, want %v, %q", err, n, texts, numbers, want)
		}
	})
}
