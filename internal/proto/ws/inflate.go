package ws

import (
	"encoding/binary"
	"errors"
)

// An inflater takes DEFLATE off (RFC 1951) as octets come. The standard
// library's pulls: it would want a goroutine for every message that is not yet
// whole, and it can't be laid aside between messages with no more than the
// window that the next may refer to (RFC 7692, section 7.2.2). This one is
// pushed, stops anywhere between two symbols, and holds its tables only while
// there is a message.
//
//	block ──stored──▶ stored ──▶ block
//	  │ └──fixed────▶ symbols ─▶ block
//	  └──dynamic─▶ counts ─▶ meta ─▶ lengths ─▶ symbols
type inflater struct {
	emit   func([]byte) error // is given what comes out
	window int                // how far back may be referred to

	state state
	final bool   // the block says that it is the last
	b     uint64 // bits that were read and not used, the next one lowest
	n     uint   // how many
	left  int    // octets of a stored block
	hist  []byte // what came out, as far back as it may be referred to
	given int    // of hist, to emit
	t     *tables
	err   error
}

type state uint8

const (
	inBlock state = iota // a block's header is next
	inStored
	inCounts
	inMeta
	inLengths
	inSymbols
)

// maxWindow is the largest window of DEFLATE.
const maxWindow = 32 << 10

var (
	errDamaged = errors.New("damaged DEFLATE data")
	errMore    = errors.New("more input is needed") // never leaves the inflater
)

// forget drops what a message may refer to, and any damage.
func (z *inflater) forget() {
	z.release()
	*z = inflater{emit: z.emit, window: z.window, hist: z.hist[:0]}
}

func (z *inflater) release() {
	if z.t != nil {
		tablePool.Put(z.t)
		z.t = nil
	}
}

// write takes p in and emits what comes of it. Its error is errDamaged or
// emit's, and stays.
func (z *inflater) write(p []byte) error {
	if z.err != nil {
		return z.err
	}
	if z.t == nil {
		z.t = tablePool.Get().(*tables)
	}
	for z.err == nil {
		p = z.fill(p)
		var err error
		if p, err = z.step(p); err == errMore {
			if len(p) == 0 {
				break
			}
			continue
		}
		z.err = err
	}
	if z.err == nil || z.err == errDamaged {
		if err := z.flush(); err != nil {
			z.err = err
		}
	}
	return z.err
}

// end takes in what the sender left out at the end of a message, and emits the
// rest.
func (z *inflater) end() error {
	defer z.release()
	if z.final && z.state == inBlock && z.n < 8 {
		z.b, z.n, z.final = 0, 0, false // a last block that really was the last thing
		return z.err
	}
	if err := z.write([]byte{0, 0, 0xff, 0xff}); err != nil {
		return err
	}
	if z.state != inBlock || z.n >= 8 {
		z.err = errDamaged
	}
	z.b, z.n, z.final = 0, 0, false
	return z.err
}

// fill moves as many octets of p as fit behind the bits.
func (z *inflater) fill(p []byte) []byte {
	if len(p) >= 8 {
		z.b |= binary.LittleEndian.Uint64(p) << z.n
		whole := (63 - z.n) >> 3
		z.n += whole << 3
		return p[whole:]
	}
	for len(p) > 0 && z.n <= 56 {
		z.b |= uint64(p[0]) << z.n
		z.n += 8
		p = p[1:]
	}
	return p
}

// has reports whether n bits are there.
func (z *inflater) has(n uint) bool { return z.n >= n }

// use returns n bits, which must be there.
func (z *inflater) use(n uint) int {
	v := z.b & (1<<n - 1)
	z.b >>= n
	z.n -= n
	return int(v)
}

// step does one thing more, with the bits that are there and, if it is stored
// octets, with p. It returns errMore if the bits are too few; nothing has been
// used then.
func (z *inflater) step(p []byte) ([]byte, error) {
	switch z.state {
	case inBlock:
		return p, z.block()
	case inStored:
		return z.stored(p)
	case inCounts:
		return p, z.counts()
	case inMeta:
		return p, z.metaLengths()
	case inLengths:
		return p, z.codeLengths()
	}
	return z.symbols(p)
}

// What the symbols of lengths and distances stand for (section 3.2.5).
var (
	lengthBase = [29]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra  = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase = [30]uint16{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
		8193, 12289, 16385, 24577,
	}
	distanceExtra = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// symbols reads literals and copies until the block ends or bits are missing.
func (z *inflater) symbols(p []byte) ([]byte, error) {
	t := z.t
	for {
		if z.n < 48 { // a length with its distance takes no more
			p = z.fill(p)
		}
		s, n, ok := t.current.find(z.b)
		switch {
		case !z.has(n):
			return p, errMore
		case !ok:
			return p, errDamaged
		case s < 256:
			if err := z.room(1); err != nil {
				return p, err
			}
			z.use(n)
			z.hist = append(z.hist, byte(s))
			continue
		case s == 256:
			z.use(n)
			z.state = inBlock
			return p, nil
		case s > 285:
			return p, errDamaged
		}
		if err := z.copy(s-257, n); err != nil {
			return p, err
		}
	}
}

// copy repeats what came out before. i says how much, by a code of n bits.
func (z *inflater) copy(i int, n uint) error {
	more := uint(lengthExtra[i])
	s, m, ok := z.t.currentDist.find(z.b >> (n + more))
	switch {
	case !z.has(n + more + m):
		return errMore
	case !ok || s >= len(distanceBase):
		return errDamaged
	}
	further := uint(distanceExtra[s])
	if !z.has(n + more + m + further) {
		return errMore
	}
	z.use(n)
	length := int(lengthBase[i]) + z.use(more)
	z.use(m)
	distance := int(distanceBase[s]) + z.use(further)
	if distance > min(len(z.hist), z.window) {
		return errDamaged
	}
	if err := z.room(length); err != nil {
		return err
	}
	for length > 0 { // what is copied may reach into what it makes
		from := len(z.hist) - distance
		k := min(length, distance)
		z.hist = append(z.hist, z.hist[from:from+k]...)
		length -= k
	}
	return nil
}

// room makes place for n octets more.
func (z *inflater) room(n int) error {
	if len(z.hist)+n <= 2*maxWindow {
		return nil
	}
	if err := z.flush(); err != nil {
		return err
	}
	keep := min(len(z.hist), maxWindow)
	z.hist = z.hist[:copy(z.hist, z.hist[len(z.hist)-keep:])]
	z.given = keep
	return nil
}

// flush emits what has come out since.
func (z *inflater) flush() error {
	p := z.hist[z.given:]
	z.given = len(z.hist)
	if len(p) == 0 {
		return nil
	}
	return z.emit(p)
}
