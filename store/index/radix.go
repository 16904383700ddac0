package index

import "slices"

// sortPairs sorts in the place where they are, since they are many: by the first byte
// in a way that mixes up the rest, and then what has the same in one that does not. It is
// ten times as fast as comparing. spare is memory to use for that, a part of pairs in
// size; what is returned can be used the next time.
func sortPairs(pairs, spare []uint64) []uint64 {
	const first = 56
	var next, ends [256]int
	for _, p := range pairs {
		ends[p>>first]++
	}
	sum(&ends, &next)
	for b := range next {
		for next[b] < ends[b] {
			p := pairs[next[b]]
			for j := p >> first; j != uint64(b); j = p >> first {
				p, pairs[next[j]] = pairs[next[j]], p
				next[j]++
			}
			pairs[next[b]] = p
			next[b]++
		}
	}
	from := 0
	for _, to := range ends {
		spare = sortRest(pairs[from:to], spare)
		from = to
	}
	return spare
}

// sum makes of counts where what is counted ends, and says where it begins.
func sum(counts, begins *[256]int) {
	at := 0
	for i, n := range counts {
		begins[i] = at
		at += n
		counts[i] = at
	}
}

// sortRest sorts pairs that have the same first byte, from the last byte on. Bytes that
// are the same in all, as most of the lower half, it leaves out.
func sortRest(pairs, spare []uint64) []uint64 {
	spare = slices.Grow(spare[:0], len(pairs))[:len(pairs)]
	all, some := ^uint64(0), uint64(0)
	for _, p := range pairs {
		all, some = all&p, some|p
	}
	from, to := pairs, spare
	for shift := 0; shift < 56; shift += 8 {
		if (all^some)>>shift&255 == 0 || len(pairs) < 2 {
			continue
		}
		var next, ends [256]int
		for _, p := range from {
			ends[p>>shift&255]++
		}
		sum(&ends, &next)
		for _, p := range from {
			b := p >> shift & 255
			to[next[b]] = p
			next[b]++
		}
		from, to = to, from
	}
	copy(pairs, from) // which may be the same
	return spare
}
