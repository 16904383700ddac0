package index

import (
	"slices"

	"transom/filter"
)

// A sketch says of the URLs of a block which three characters stand together in any of
// them, roughly: URLs are mostly different ones, and to look through all of them for
// something rare is what takes longest. Letters are small in it, as of ASCII; of other
// scripts nothing is known, since there is more than one way to ignore case.
const sketchBits = 1 << 16

// packSketch returns the sketch of texts that are used, empty if there can't be one.
func packSketch(dict []string, codes []int64) []byte {
	s := make([]byte, sketchBits/8)
	done := make([]bool, len(dict))
	for _, c := range codes {
		if done[c] {
			continue
		}
		done[c] = true
		if !sketch(s, dict[c]) {
			return []byte{}
		}
	}
	return s
}

// sketch adds a list; what stands between its elements does no harm.
func sketch(s []byte, list string) bool {
	text, _ := bare(list)
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false // of a list the length of a long element may be so, too
		}
		if i+3 <= len(text) {
			h := hashTrigram(text[i:i+3]) % sketchBits
			s[h/8] |= 1 << (h % 8)
		}
	}
	return true
}

// mayHave reports whether anything in a block may have all of some literals in it.
func mayHave(s []byte, literals []string) bool {
	if len(s) != sketchBits/8 {
		return true
	}
	for _, l := range literals {
		for i := 0; i+3 <= len(l); i++ {
			if h := hashTrigram(l[i:i+3]) % sketchBits; s[h/8]&(1<<(h%8)) == 0 {
				return false
			}
		}
	}
	return true
}

// sketched reports whether there are sketches of what q searches, which are worth while to
// be looked at: of something frequent they all say that it may be there.
func (q *question) sketched() bool {
	const enough = 32
	if q.sketches >= enough && q.without < q.sketches/8 {
		return false
	}
	long := func(l string) bool { return len(l) >= 3 }
	return slices.ContainsFunc(q.Literals, long) && len(q.Texts) == 1 && q.Texts[0] == filter.URL
}

// mayBeIn reports whether a block with this sketch may have what q searches.
func (q *question) mayBeIn(s []byte) bool {
	q.sketches++
	may := mayHave(s, q.Literals)
	if !may {
		q.without++
	}
	return may
}
