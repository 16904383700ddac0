package ws

// A huffman code of DEFLATE (RFC 1951, section 3.2.2). Short codes are looked
// up; the few long ones are found bit by bit, length by length.
type huffman struct {
	quick  [1 << quickBits]uint16 // length<<12 | symbol, by the next bits; 0 if the code is longer
	count  [maxCode + 1]uint16    // codes of each length
	symbol [maxLiterals]uint16    // in the order of their codes
}

const (
	quickBits   = 9
	maxCode     = 15
	maxLiterals = 288
)

// build makes h the code with these lengths by symbol. It reports false if
// there is no such code: it must use up all bit patterns, or be a single code of
// one bit. An empty one is allowed as long as it is not used.
func (h *huffman) build(lengths []uint8) bool {
	h.quick = [1 << quickBits]uint16{}
	h.count = [maxCode + 1]uint16{}
	for _, n := range lengths {
		h.count[n]++
	}
	h.count[0] = 0
	var code, index [maxCode + 2]int
	used := 0
	for n := 1; n <= maxCode; n++ {
		used <<= 1
		code[n+1] = (code[n] + int(h.count[n])) << 1
		index[n+1] = index[n] + int(h.count[n])
		if used += int(h.count[n]); used > 1<<n {
			return false
		}
	}
	if total := index[maxCode+1]; used != 1<<maxCode && total != 0 && (total != 1 || h.count[1] != 1) {
		return false
	}
	for s, n := range lengths {
		if n == 0 {
			continue
		}
		h.symbol[index[n]] = uint16(s)
		index[n]++
		if n <= quickBits {
			h.lookUp(code[n], int(n), s)
		}
		code[n]++
	}
	return true
}

// lookUp enters a short code wherever the bits after it may lead. Codes come
// with their first bit lowest.
func (h *huffman) lookUp(code, n, symbol int) {
	reversed := 0
	for range n {
		reversed, code = reversed<<1|code&1, code>>1
	}
	for i := reversed; i < len(h.quick); i += 1 << n {
		h.quick[i] = uint16(n<<12 | symbol)
	}
}

// find returns the symbol that b begins with, and how many bits it takes. ok is
// false if there is none. If n is more than there are bits in b, more are
// needed.
func (h *huffman) find(b uint64) (symbol int, n uint, ok bool) {
	if e := h.quick[b&(1<<quickBits-1)]; e != 0 {
		return int(e & (1<<12 - 1)), uint(e >> 12), true
	}
	code, first, index := 0, 0, 0
	for n = 1; n <= maxCode; n++ {
		code |= int(b & 1)
		b >>= 1
		count := int(h.count[n])
		if code-first < count {
			return int(h.symbol[index+code-first]), n, true
		}
		index, first, code = index+count, (first+count)<<1, code<<1
	}
	return 0, maxCode, false
}
