package segment

import (
	"encoding/binary"
	"time"
)

// A footer ends the file of a segment to which nothing will be appended. Where there
// is one, opening the log need not read the segment. It is a frame of kind 0, with the
// offset that the next record would have had; one more in a compacted segment, where
// the marks have that.
//
//	0  8  how many records there are
//	8  8  when the last was appended, in nanoseconds since 1970
//	16 8  in a compacted segment: where in the file its marks begin
//	24 16 zero
type footer struct {
	records uint64
	last    time.Time
	end     int64 // the offset that the next record would have had
	at      int64 // in the file, where the records end
}

const (
	footerLength = 40
	footerSize   = frameSize + footerLength
	kindOwn      = 0 // frames that are no records
)

// bytes returns the footer's frame and payload as the segment's file has them.
func (f footer) bytes(h *handle) []byte {
	b := make([]byte, footerSize)
	p := b[frameSize:]
	binary.LittleEndian.PutUint64(p, f.records)
	binary.LittleEndian.PutUint64(p[8:], uint64(f.last.UnixNano()))
	offset := f.end
	if h.compacted() {
		binary.LittleEndian.PutUint64(p[16:], uint64(f.at))
		offset++
	}
	frame{length: footerLength, kind: kindOwn, offset: offset, sum: checksum(p)}.put(b, h.seed)
	return b
}

// readFooter returns the footer of a file of size bytes, if it has one.
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
	if !ok || fr.kind != kindOwn || !fr.holds(p) {
		return footer{}, false, nil
	}
	f = footer{
		records: binary.LittleEndian.Uint64(p),
		last:    time.Unix(0, int64(binary.LittleEndian.Uint64(p[8:]))),
		end:     fr.offset,
		at:      at,
	}
	if !h.compacted() {
		return f, f.end == at, nil
	}
	f.end--
	f.at = int64(binary.LittleEndian.Uint64(p[16:]))
	return f, f.at >= headerSize && f.at <= at, nil
}
