package segment

import (
	"encoding/binary"
	"time"
)

// A footer ends the file of a segment to which nothing will be appended. Where there
// is one, opening the log need not read the segment.
//
//	0  8  how many records there are
//	8  8  when the last was appended, in nanoseconds since 1970
//	16 8  zero
//	24 16 zero
type footer struct {
	records uint64
	last    time.Time
	end     int64 // the offset of the footer's frame: what would have been the next record's
	at      int64 // in the file, where it begins
}

const (
	footerLength = 40
	footerSize   = frameSize + footerLength
	kindOwn      = 0 // frames that are no records
)

// bytes returns the footer's frame and payload.
func (f footer) bytes(seed uint32) []byte {
	b := make([]byte, footerSize)
	p := b[frameSize:]
	binary.LittleEndian.PutUint64(p, f.records)
	binary.LittleEndian.PutUint64(p[8:], uint64(f.last.UnixNano()))
	frame{length: footerLength, kind: kindOwn, offset: f.end, sum: checksum(p)}.put(b, seed)
	return b
}

// readFooter returns the footer of a file, if it has one.
func (h *handle) readFooter(size int64) (f footer, ok bool, err error) {
	at := size - footerSize
	if at < headerSize {
		return footer{}, false, nil
	}
	b := make([]byte, footerSize)
	if n, err := h.ReadAt(b, at); n < len(b) {
		return footer{}, false, unexpected(err)
	}
	fr, ok := parseFrame(b, h.seed)
	p := b[frameSize:]
	if !ok || fr.kind != kindOwn || !fr.holds(p) || h.head.flags&flagCompacted == 0 && fr.offset != at {
		return footer{}, false, nil
	}
	return footer{
		records: binary.LittleEndian.Uint64(p),
		last:    time.Unix(0, int64(binary.LittleEndian.Uint64(p[8:]))),
		end:     fr.offset,
		at:      at,
	}, true, nil
}
