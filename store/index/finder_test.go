package index_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"transom/store/index"
)

// lists draws texts as lists: what begins alike, in both cases, and what is not ASCII.
func lists(t *rapid.T) (all []string) {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "A", "ab", "/api/", "v1", "id=42", "&", "K", "k", "@", "`", "[", "{", "é", "\xff", "", "x x x x"}), 1, 12)
	for range rapid.IntRange(1, 12).Draw(t, "texts") {
		text := strings.Join(pieces.Draw(t, "pieces"), "")
		list := string(byte(len(text))) + text
		if rapid.Bool().Draw(t, "two") {
			list += "\x02ab"
		}
		if !slices.Contains(all, list) && len(text) < 0x80 {
			all = append(all, list)
		}
	}
	return all
}

// TestFinder: what is left out has not got what is required, and is ASCII.
func TestFinder(t *testing.T) {
	left := 0
	rapid.Check(t, func(t *rapid.T) {
		literals := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "B", "/API/", "d=42&", "k", "K&", "@", "[", "{", "`", "x x x x x", "1id", "\xff"}), 0, 3).Draw(t, "literals")
		skip := rapid.SampledFrom([]string{"", "a", "k", "4"}).Draw(t, "skipped")
		wanted := func(list string) bool { return skip == "" || !strings.Contains(list, skip) }
		sorted, lacks, err := index.Lacking(lists(t), literals, wanted)
		if err != nil {
			t.Fatal(err)
		}
		for i, list := range sorted {
			plain, has := true, true
			for j := range len(list) {
				plain = plain && list[j] < 0x80
			}
			for _, l := range literals {
				has = has && strings.Contains(strings.ToLower(list), strings.ToLower(l))
			}
			if lacks[i] && (has || !plain) {
				t.Fatalf("%q is left out of %q for want of %q", list, sorted, literals)
			}
			if len(literals) == 1 && wanted(list) && plain && !has && !lacks[i] {
				t.Fatalf("%q is not left out, and has no %q", list, literals)
			}
			if lacks[i] {
				left++
			}
		}
	})
	if left == 0 {
		t.Error("nothing was left out")
	}
}

// BenchmarkFinder looks through the URLs of a block for what few have.
func BenchmarkFinder(b *testing.B) {
	m := newMix()
	var urls []string
	for len(urls) < 2300 {
		urls = append(urls, fmt.Sprintf("\x40https://h%02d.example.test/api/v1/%s/%s?id=%05d&t=%08x", m.skewed(40), m.words[m.skewed(500)], m.words[m.skewed(5000)], m.skewed(100_000), m.r.Uint32()))
	}
	for _, literal := range []string{"nosuchthing", "id=4242&", "/api/v1/", "4242"} {
		b.Run(strings.Trim(literal, "/&"), func(b *testing.B) {
			search, size := index.Searcher(urls, literal)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				search()
			}
		})
	}
}
