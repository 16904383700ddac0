package ws

import "sync"

// A tables is what an inflater needs while it reads blocks.
type tables struct {
	literal, distance, meta huffman
	fixed, fixedDistance    huffman
	hasFixed                bool
	current, currentDist    *huffman

	lengths        [maxLiterals + 32]uint8
	nlit, ndist, m int // how many there are; m of the code of codes
	at             int // how many have come
}

// tablePool lends tables for the time of a message; without it compressed
// messages cost 9 KB each (BenchmarkRelay).
var tablePool = sync.Pool{New: func() any { return new(tables) }}

// block reads a block's header (RFC 1951, section 3.2.3). What follows a last
// block in the same message begins at an octet (RFC 7692, section 7.2.3.4).
func (z *inflater) block() error {
	if z.final {
		if !z.has(z.n&7 + 3) {
			return errMore
		}
		z.use(z.n & 7)
		z.final = false
	}
	if !z.has(3) {
		return errMore
	}
	switch z.b >> 1 & 3 {
	case 0:
		skip := (z.n - 3) & 7 // to the next octet
		if !z.has(3 + skip + 32) {
			return errMore
		}
		z.final = z.use(3)&1 != 0
		z.use(skip)
		size, check := z.use(16), z.use(16)
		if size != ^check&0xffff {
			return errDamaged
		}
		z.left, z.state = size, inStored
	case 1:
		z.final = z.use(3)&1 != 0
		return z.useFixed()
	case 2:
		z.final = z.use(3)&1 != 0
		z.state = inCounts
	default:
		return errDamaged
	}
	return nil
}

// stored copies octets (section 3.2.4): those among the bits, then those of p.
func (z *inflater) stored(p []byte) ([]byte, error) {
	for z.left > 0 && z.n >= 8 {
		if err := z.room(1); err != nil {
			return p, err
		}
		z.hist = append(z.hist, byte(z.use(8)))
		z.left--
	}
	if z.left > 0 && z.n == 0 {
		z.b = 0 // fill leaves octets there that it has not counted
	}
	for z.left > 0 && len(p) > 0 {
		n := min(z.left, len(p), maxWindow)
		if err := z.room(n); err != nil {
			return p, err
		}
		z.hist = append(z.hist, p[:n]...)
		p = p[n:]
		z.left -= n
	}
	if z.left > 0 {
		return p, errMore
	}
	z.state = inBlock
	return p, nil
}

// useFixed begins a block with the fixed codes (section 3.2.6).
func (z *inflater) useFixed() error {
	t := z.t
	if !t.hasFixed {
		var lengths [maxLiterals]uint8
		for i := range lengths {
			switch {
			case i < 144:
				lengths[i] = 8
			case i < 256:
				lengths[i] = 9
			case i < 280:
				lengths[i] = 7
			default:
				lengths[i] = 8
			}
		}
		t.fixed.build(lengths[:])
		for i := range 32 {
			lengths[i] = 5
		}
		t.fixedDistance.build(lengths[:32])
		t.hasFixed = true
	}
	t.current, t.currentDist = &t.fixed, &t.fixedDistance
	z.state = inSymbols
	return nil
}

// counts begins a block with codes of its own (section 3.2.7).
func (z *inflater) counts() error {
	if !z.has(14) {
		return errMore
	}
	t := z.t
	t.nlit, t.ndist, t.m = z.use(5)+257, z.use(5)+1, z.use(4)+4
	if t.nlit > 286 || t.ndist > 30 {
		return errDamaged
	}
	t.at = 0
	clear(t.lengths[:])
	z.state = inMeta
	return nil
}

// metaOrder is the order in which the code of codes is written.
var metaOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

func (z *inflater) metaLengths() error {
	t := z.t
	for t.at < t.m {
		if !z.has(3) {
			return errMore
		}
		t.lengths[metaOrder[t.at]] = uint8(z.use(3))
		t.at++
	}
	if !t.meta.build(t.lengths[:19]) {
		return errDamaged
	}
	clear(t.lengths[:19])
	t.at, z.state = 0, inLengths
	return nil
}

func (z *inflater) codeLengths() error {
	t := z.t
	for t.at < t.nlit+t.ndist {
		s, n, ok := t.meta.find(z.b)
		extra := [...]uint{2, 3, 7}[max(s-16, 0)]
		if s < 16 {
			extra = 0
		}
		switch {
		case !z.has(n + extra):
			return errMore
		case !ok:
			return errDamaged
		}
		z.use(n)
		if s < 16 {
			t.lengths[t.at] = uint8(s)
			t.at++
			continue
		}
		if err := t.repeat(s, z.use(extra)); err != nil {
			return err
		}
	}
	// The codes of distances lie right behind the others.
	if !t.literal.build(t.lengths[:t.nlit]) || !t.distance.build(t.lengths[t.nlit:t.nlit+t.ndist]) {
		return errDamaged
	}
	t.current, t.currentDist = &t.literal, &t.distance
	z.state = inSymbols
	return nil
}

// repeat enters a run of lengths.
func (t *tables) repeat(symbol, extra int) error {
	var length uint8
	times := extra + 3
	switch symbol {
	case 16:
		if t.at == 0 {
			return errDamaged
		}
		length = t.lengths[t.at-1]
	case 18:
		times = extra + 11
	}
	if t.at+times > t.nlit+t.ndist {
		return errDamaged
	}
	for range times {
		t.lengths[t.at] = length
		t.at++
	}
	return nil
}
