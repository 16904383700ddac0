package segment

import (
	"encoding/binary"
	"time"
)

// A footer ends the file of a segment to which nothing will be appended. Where there
// is one, opening the log need not read the segment. It is a frame of kind 0, with the
// offset that the next record would have had; one more in a compacted segment, where
// the marks have that. Marks and an outline stand between the records and the footer.
//
//	0  8  how many records there are
//	8  8  when the last was appended, in nanoseconds since 1970
//	16 8  where in the file the records end; zero is here
//	24 8  where in the file the outline begins; zero is that there is none
//	32 8  zero
type footer struct {
	records uint64
	last    time.Time
	end     int64 // the offset that the next record would have had
	at      int64 // in the file, where the records end
	outline int64 // in the file, where that begins; 0 is none
	ends    int64 // in the file, where what is before the footer ends
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
	binary.LittleEndian.PutUint64(p[16:], uint64(f.at))
	binary.LittleEndian.PutUint64(p[24:], uint64(f.outline))
	offset := f.end
	if h.compacted() {
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
		at:      int64(binary.LittleEndian.Uint64(p[16:])),
		outline: int64(binary.LittleEndian.Uint64(p[24:])),
		ends:    at,
	}
	if f.at == 0 {
		f.at = at
	}
	if f.outline < f.at || f.outline > at {
		f.outline = 0
	}
	if h.compacted() {
		f.end--
		return f, f.at >= headerSize && f.at <= at, nil
	}
	return f, f.at == f.end && f.at <= at, nil
}
