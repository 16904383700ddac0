package view

import (
	"math"
	"math/big"
	"strconv"
)

// cbor prints CBOR in its diagnostic notation (RFC 8949, section 8).
func cbor(p *printer, body []byte) error {
	m := packed{printer: p, b: body}
	return m.items(m.cbor)
}

const indefinite = 31

func (m *packed) cbor() error {
	m.start = m.i
	s, err := m.take(1)
	if err != nil {
		return err
	}
	major, info := s[0]>>5, s[0]&31
	n := uint64(info)
	switch {
	case info >= 24 && info <= 27:
		if n, err = m.number(1 << (info - 24)); err != nil {
			return err
		}
	case info == indefinite && major >= 2 && major <= 5:
	case info >= 28:
		return faultAt(m.start, "%#02x begins nothing", s[0])
	}
	endless := info == indefinite
	more := upTo(n)
	if endless {
		more = m.breaks
	}
	switch major {
	case 0:
		m.put(Number, strconv.FormatUint(n, 10))
	case 1:
		v := new(big.Int).SetUint64(n)
		m.put(Number, v.Not(v).String()) // -1-n, which may have 65 bits
	case 2, 3:
		switch {
		case endless:
			return m.several("(_ ", ")", false, more, m.cbor)
		case major == 2:
			return m.sized(n, m.octets)
		}
		return m.sized(n, m.text)
	case 4:
		return m.several("[", "]", false, more, m.cbor)
	case 5:
		return m.several("{", "}", true, more, m.cbor)
	case 6:
		return m.tagged(n)
	default:
		m.simple(info, n)
	}
	return nil
}

// breaks takes the stop code of an indefinite length.
func (m *packed) breaks(uint64) (bool, error) {
	if m.i == len(m.b) {
		return false, faultAt(m.i, "ends within an item of indefinite length")
	}
	if m.b[m.i] != 0xff {
		return true, nil
	}
	m.i++
	return false, nil
}

func (m *packed) tagged(n uint64) error {
	if m.depth == maxDepth {
		return faultAt(m.start, "%w", errDeep)
	}
	m.depth++
	m.put(Word, strconv.FormatUint(n, 10)+"(")
	if err := m.cbor(); err != nil {
		return err
	}
	m.put(Word, ")")
	m.depth--
	return nil
}

// simple prints simple values and floats (RFC 8949, section 3.3).
func (m *packed) simple(info byte, n uint64) {
	switch {
	case info == 20 || info == 21:
		m.put(Word, strconv.FormatBool(info == 21))
	case info == 22:
		m.put(Word, "null")
	case info == 23:
		m.put(Word, "undefined")
	case info == 25:
		m.float(half(uint16(n)), 32)
	case info == 26:
		m.float(float64(math.Float32frombits(uint32(n))), 32)
	case info == 27:
		m.float(math.Float64frombits(n), 64)
	default:
		m.put(Word, "simple("+strconv.FormatUint(n, 10)+")")
	}
}

// half reads a float of 16 bits (RFC 8949, appendix D).
func half(v uint16) float64 {
	exp, mant := int(v>>10&31), float64(v&1023)
	var f float64
	switch exp {
	case 0:
		f = math.Ldexp(mant, -24)
	case 31:
		f = math.Inf(1)
		if mant != 0 {
			return math.NaN()
		}
	default:
		f = math.Ldexp(mant+1024, exp-25)
	}
	if v>>15 != 0 {
		f = -f
	}
	return f
}
