package hpack_test

import (
	oracle "golang.org/x/net/http2/hpack"
)

// A judge is golang.org/x/net's decoder. That refuses a second size update while
// its table has entries, and takes any number of them while it has none, so it
// gets each of them as a block.
type judge struct{ dec *oracle.Decoder }

func newJudge(max uint32) *judge {
	j := &judge{oracle.NewDecoder(min(max, 4096), nil)}
	j.setMax(max)
	return j
}

func (j *judge) setMax(max uint32) { j.dec.SetAllowedMaxDynamicTableSize(max) }

func (j *judge) decode(block []byte) ([]oracle.HeaderField, error) {
	for len(block) > 0 && block[0]&0xe0 == 0x20 {
		n := updateLen(block)
		if _, err := j.dec.DecodeFull(block[:n]); err != nil {
			return nil, err
		}
		block = block[n:]
	}
	return j.dec.DecodeFull(block)
}

// updateLen returns the length of the size update that block begins with.
func updateLen(block []byte) int {
	if block[0]&0x1f < 0x1f {
		return 1
	}
	n := 1
	for n < len(block) && block[n]&0x80 != 0 {
		n++
	}
	return min(n+1, len(block))
}
