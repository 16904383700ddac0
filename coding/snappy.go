package coding

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/s2"
)

const (
	snappyHead  = "\xff\x06\x00\x00sNaPpY" // of a stream (framing_format.txt, section 4.1)
	snappyChunk = 64 << 10                 // likewise, section 4.2
	snappyBlock = 64 << 20                 // of a block, which has to be in memory whole
	snappyRatio = 64                       // a copy of up to 64 bytes takes two or more
)

// unsnap reads Snappy: a stream of chunks, or one block, as Prometheus is written to.
func unsnap(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	if head, err := b.Peek(len(snappyHead)); err == nil && string(head) == snappyHead {
		return io.NopCloser(s2.NewReader(b, s2.ReaderMaxBlockSize(snappyChunk))), nil
	}
	block, err := io.ReadAll(io.LimitReader(b, snappyBlock+1))
	if err != nil {
		return nil, err
	}
	n, err := s2.DecodedLen(block)
	switch {
	case err != nil:
		return nil, err
	case len(block) > snappyBlock || n > snappyBlock || n > snappyRatio*len(block):
		return nil, errors.New("snappy: a block that is too large")
	}
	data, err := s2.Decode(nil, block)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}
