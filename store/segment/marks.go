package segment

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// In a compacted segment records stand elsewhere than their offsets say. Marks tell
// where: a mark is a record's offset and its place in the file, and there is one for
// each 4 KiB or more. From it the frames are followed to the one that is looked for.
type mark struct{ offset, at uint32 }

const (
	markEvery = 4 << 10
	markSize  = 8
)

// addMark adds a mark for a frame if the last one is far enough away.
func addMark(marks []mark, offset, at int64) []mark {
	if n := len(marks); n > 0 && at-int64(marks[n-1].at) < markEvery {
		return marks
	}
	return append(marks, mark{uint32(offset), uint32(at)})
}

// marksBytes returns marks as a frame with its payload.
func marksBytes(marks []mark, end int64, seed uint32) []byte {
	b := make([]byte, frameSize, frameSize+len(marks)*markSize)
	for _, m := range marks {
		b = binary.LittleEndian.AppendUint32(b, m.offset)
		b = binary.LittleEndian.AppendUint32(b, m.at)
	}
	stored := b[frameSize:]
	frame{length: len(stored), kind: kindOwn, offset: end, sum: checksum(stored)}.put(b, seed)
	return b
}

// readMarks returns the marks of a compacted file of size bytes, from a file that has
// lost them by way of its frames.
func (h *handle) readMarks(foot footer, size int64) ([]mark, error) {
	s := newScanner(h, foot.at, size)
	f, stored, _, err := s.next()
	var damage *Damage
	switch {
	case errors.As(err, &damage) || err == io.EOF:
		return h.findMarks(foot.at)
	case err != nil:
		return nil, err
	case f.kind != kindOwn || f.offset != foot.end || len(stored)%markSize != 0:
		return h.findMarks(foot.at)
	}
	marks := make([]mark, len(stored)/markSize)
	for i := range marks {
		b := stored[i*markSize:]
		marks[i] = mark{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
		m := marks[i]
		if int64(m.at) < headerSize || int64(m.at) >= foot.at || i > 0 && (m.offset <= marks[i-1].offset || m.at <= marks[i-1].at) {
			return h.findMarks(foot.at)
		}
	}
	return marks, nil
}

// findMarks goes through the frames up to limit.
func (h *handle) findMarks(limit int64) (marks []mark, err error) {
	s := newScanner(h, headerSize, limit)
	for {
		f, _, at, err := s.next()
		var damage *Damage
		switch {
		case errors.As(err, &damage):
		case err == io.EOF:
			return marks, nil
		case err != nil:
			return nil, err
		default:
			marks = addMark(marks, f.offset, at)
		}
	}
}

// place returns where in the file to begin looking for what has an offset. In a
// segment that was not compacted it is there.
func (h *handle) place(offset int64) int64 {
	if !h.compacted() {
		return offset
	}
	i, ok := slices.BinarySearchFunc(h.marks, offset, func(m mark, o int64) int { return cmp.Compare(int64(m.offset), o) })
	if !ok {
		i--
	}
	if i < 0 {
		return headerSize
	}
	return int64(h.marks[i].at)
}
