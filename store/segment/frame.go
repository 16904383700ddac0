package segment

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A frame stands before each payload. Its own checksum makes its length something
// to rely on, so that damage to a payload costs that record alone, and looking for
// the next frame behind other damage is one pass over the bytes. It begins with the
// segment's salt, which no peer knows: a recorded body that holds frames is not
// mistaken for them.
//
//	0  3  length of the payload as stored
//	3  1  kind
//	4  4  offset of the frame when it was written, which is its Position for ever
//	8  4  CRC-32C of the payload as stored
//	12 4  CRC-32C of salt, segment number and bytes 0 to 12
type frame struct {
	length int
	kind   uint8
	offset int64
	sum    uint32
}

const frameSize = 16

// size is how much of the file the frame and its payload take.
func (f frame) size() int64 { return frameSize + int64(f.length) }

// put writes f to b; seed is the segment's.
func (f frame) put(b []byte, seed uint32) {
	binary.LittleEndian.PutUint32(b, uint32(f.length)|uint32(f.kind)<<24)
	binary.LittleEndian.PutUint32(b[4:], uint32(f.offset))
	binary.LittleEndian.PutUint32(b[8:], f.sum)
	binary.LittleEndian.PutUint32(b[12:], crc32.Update(seed, castagnoli(), b[:12]))
}

// append appends f to b.
func (f frame) append(b []byte, seed uint32) []byte {
	var head [frameSize]byte
	f.put(head[:], seed)
	return append(b, head[:]...)
}

// parseFrame reads a frame; ok is false if there is none.
func parseFrame(b []byte, seed uint32) (f frame, ok bool) {
	word := binary.LittleEndian.Uint32(b)
	f = frame{
		length: int(word & 0xffffff),
		kind:   uint8(word >> 24),
		offset: int64(binary.LittleEndian.Uint32(b[4:])),
		sum:    binary.LittleEndian.Uint32(b[8:]),
	}
	if f.length > maxStored || f.offset < headerSize {
		return f, false
	}
	return f, crc32.Update(seed, castagnoli(), b[:12]) == binary.LittleEndian.Uint32(b[12:])
}

// ownAt reports whether what stands at a place is, or may be the begin of, a frame that
// is no record: an outline begins with an empty one.
func (h *handle) ownAt(at, limit int64) (bool, error) {
	b := make([]byte, min(frameSize, limit-at))
	if n, err := h.ReadAt(b, at); n < len(b) {
		return false, unexpected(err)
	}
	if len(b) < frameSize {
		n := min(len(b), 4)
		return n > 0 && (bytes.HasPrefix([]byte{0, 0, 0, kindOwn}, b[:n]) || bytes.HasPrefix([]byte{footerLength, 0, 0, kindOwn}, b[:n])), nil
	}
	f, ok := parseFrame(b, h.seed)
	return ok && f.kind == kindOwn, nil
}

// holds reports whether stored is what the frame was made for.
func (f frame) holds(stored []byte) bool {
	return len(stored) == f.length && checksum(stored) == f.sum
}

// maxOffset is behind all offsets.
const maxOffset = 1 << 32

// maxStored is the longest payload with what sealing adds to it.
const maxStored = MaxPayload + sealSize

// sealSize is what sealing adds.
const sealSize = 16

// checksum is of a payload as stored.
func checksum(stored []byte) uint32 { return crc32.Checksum(stored, castagnoli()) }

// castagnoli returns the table of CRC-32C, which crc32 makes once and keeps.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
