package segment

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// A header begins each file:
//
//	0  8  "TRANSOM\n"
//	8  2  version of the format, 1
//	10 2  flags
//	12 4  zero
//	16 8  number of the segment
//	24 8  when it was begun, in nanoseconds since 1970
//	32 16 salt
//	48 8  which key it is sealed under; zero if none
//	56 4  zero
//	60 4  CRC-32C of bytes 0 to 60
type header struct {
	flags   uint16
	number  uint64
	created time.Time
	salt    [16]byte
	keyID   [keyIDSize]byte
}

const (
	headerSize = 64
	magic      = "TRANSOM\n"
	version    = 1

	flagEncrypted = 1 << 0
	flagCompacted = 1 << 1 // frames were left out
	knownFlags    = flagEncrypted | flagCompacted
)

// newHeader returns the header of a segment that begins now; key is nil if nothing is
// encrypted.
func newHeader(number uint64, now time.Time, key *dataKey) header {
	h := header{number: number, created: now}
	rand.Read(h.salt[:]) // never fails
	if key != nil {
		h.flags |= flagEncrypted
		h.keyID = key.keyID(h)
	}
	return h
}

// bytes returns h as it stands in the file.
func (h header) bytes() []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint16(b[10:], h.flags)
	binary.LittleEndian.PutUint64(b[16:], h.number)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.created.UnixNano()))
	copy(b[32:], h.salt[:])
	copy(b[48:], h.keyID[:])
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli()))
	return b
}

// errNoHeader says that a file does not begin as segments do.
var errNoHeader = errors.New("the header is not a segment's, or damaged")

// parseHeader reads a header of headerSize bytes.
func parseHeader(b []byte) (header, error) {
	if string(b[:8]) != magic || crc32.Checksum(b[:60], castagnoli()) != binary.LittleEndian.Uint32(b[60:]) {
		return header{}, errNoHeader
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != version {
		return header{}, fmt.Errorf("version %d of the format is not known here: a newer transom wrote it", v)
	}
	h := header{
		flags:   binary.LittleEndian.Uint16(b[10:]),
		number:  binary.LittleEndian.Uint64(b[16:]),
		created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[24:]))),
		salt:    [16]byte(b[32:48]),
		keyID:   [keyIDSize]byte(b[48:]),
	}
	if h.flags&^knownFlags != 0 {
		return header{}, fmt.Errorf("flags %#x are not known here: a newer transom wrote it", h.flags)
	}
	return h, nil
}

// seed is what the checksums of the segment's frames begin with.
func (h header) seed() uint32 {
	var b [24]byte
	copy(b[:], h.salt[:])
	binary.LittleEndian.PutUint64(b[16:], h.number)
	return crc32.Checksum(b[:], castagnoli())
}

const (
	suffix    = ".seg"
	newSuffix = ".new" // a compacted segment before it takes its place
)

// fileName is the name of a segment's file.
func fileName(number uint64) string { return fmt.Sprintf("%010d%s", number, suffix) }

// numberOf returns the segment that a file's name is for.
func numberOf(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, suffix)
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && n > 0 && fileName(n) == name
}
