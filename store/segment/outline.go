package segment

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"iter"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// A Line is what an outline says of a record: what Scan would, but of the payload only
// the begin that Options.Gist asks for.
type Line struct {
	Position
	Kind   uint8
	Length int    // of the payload
	Gist   []byte // valid until the next step
}

// An outline of a segment stands before its footer: a line for each record, in frames of
// kind 0. So a log is opened without reading all that is in it. It is only taken if it
// is whole; else the segment is read through. A line is
//
//	kind (1), and as varints how far the offset is from the last one, the length of the
//	payload, the length of the gist; then the gist
type outline struct {
	gist  func(kind uint8, payload []byte) int // nil: there is to be none
	lines []byte
	last  int64
	plain []byte
	place place
}

const outlineFrame = 1 << 20

// add adds the line of a record.
func (o *outline) add(offset int64, kind uint8, payload []byte) {
	if o.gist == nil {
		return
	}
	gist := payload[:o.gist(kind, payload)]
	o.lines = append(o.lines, kind)
	o.lines = binary.AppendUvarint(o.lines, uint64(offset-o.last))
	o.lines = binary.AppendUvarint(o.lines, uint64(len(payload)))
	o.lines = binary.AppendUvarint(o.lines, uint64(len(gist)))
	o.lines = append(o.lines, gist...)
	o.last = offset
}

// addStored is add for a payload as it is stored. If it can't be opened there will be no
// outline: who reads the segment is to see that.
func (o *outline) addStored(h *handle, f frame, stored []byte) {
	if o.gist == nil {
		return
	}
	if h.box != nil {
		o.plain = append(o.plain[:0], stored...)
		var ok bool
		if stored, ok = h.box.open(&o.place, f, o.plain); !ok {
			*o = outline{}
			return
		}
	}
	o.add(f.offset, f.kind&^kindAnew, stored)
}

// frames returns the outline as it stands in the file from a place on. Offsets of frames
// are the place or, where records don't stand where their offsets say, behind them all.
func (o *outline) frames(h *handle, at, end int64) (b []byte) {
	if o.gist == nil {
		return nil
	}
	offset := func() int64 {
		if h.compacted() {
			return end + 2 + int64(len(b)) // behind marks and footer
		}
		return at + int64(len(b))
	}
	b = make([]byte, 0, len(o.lines)+(len(o.lines)/outlineFrame+4)*(frameSize+sealSize)+footerSize)
	b = frame{kind: kindOwn, offset: offset(), sum: checksum(nil)}.append(b, h.seed)
	for part := range slices.Chunk(o.lines, outlineFrame) {
		f := frame{kind: kindOwn, offset: offset()}
		if a := h.outlineCipher(); a != nil {
			nonce := make([]byte, a.NonceSize(), a.NonceSize()+len(part)+a.Overhead())
			rand.Read(nonce) // never fails
			part = a.Seal(nonce, nonce, part, sealed(f.offset))
		}
		f.length, f.sum = len(part), checksum(part)
		b = append(f.append(b, h.seed), part...)
	}
	return b
}

// outlineCipher seals outlines, each with a key of the segment's and a nonce by chance,
// since a compaction writes another under the same key; nil if nothing is encrypted.
func (h *handle) outlineCipher() cipher.AEAD {
	if h.key == nil {
		return nil
	}
	a, err := chacha20poly1305.NewX(h.key.derive(h.head, "outline", chacha20poly1305.KeySize))
	if err != nil {
		panic(err) // only a key of another size
	}
	return a
}

func sealed(offset int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(offset)) }

// readOutline returns the lines of a segment, nil if they can't be trusted.
func (p *piece) readOutline(buf []byte) (lines []byte, err error) {
	if p.foot == nil || p.foot.outline == 0 {
		return nil, nil
	}
	at := p.foot.outline
	n := int(p.foot.ends - at)
	b := slices.Grow(buf[:0], n)[:n]
	if n, err := p.ReadAt(b, at); n < len(b) {
		return nil, unexpected(err)
	}
	a := p.outlineCipher()
	lines = b[:0] // what is read stands behind what is kept
	for len(b) >= frameSize {
		f, ok := parseFrame(b, p.seed)
		if !ok || f.kind != kindOwn || f.size() > int64(len(b)) || !f.holds(b[frameSize:f.size()]) {
			return nil, nil
		}
		part := b[frameSize:f.size()]
		if a != nil && len(part) > 0 {
			if len(part) < a.NonceSize() {
				return nil, nil
			}
			nonce := part[:a.NonceSize()]
			if part, err = a.Open(part[len(nonce):len(nonce)], nonce, part[len(nonce):], sealed(f.offset)); err != nil {
				return nil, nil
			}
		}
		lines = append(lines, part...)
		b = b[f.size():]
	}
	if len(b) > 0 || !p.fits(lines) {
		return nil, nil
	}
	return lines, nil
}

// fits reports whether an outline is of all records of the segment, in their order.
func (p *piece) fits(lines []byte) bool {
	n, next := uint64(0), int64(headerSize)
	for l, rest, ok := nextLine(lines, 0); ok; l, rest, ok = nextLine(rest, l.Offset) {
		if l.Kind == kindOwn || l.Offset < next || l.Offset+frameSize+int64(l.Length) > p.end {
			return false
		}
		next = l.Offset + frameSize + int64(l.Length)
		n++
	}
	return n == p.foot.records
}

// nextLine reads a line; last is the offset of the one before.
func nextLine(b []byte, last int64) (l Line, rest []byte, ok bool) {
	if len(b) == 0 {
		return l, nil, false
	}
	l.Kind, b = b[0], b[1:]
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > maxOffset {
			return l, nil, false
		}
		numbers[i], b = v, b[n:]
	}
	l.Offset, l.Length = last+int64(numbers[0]), int(numbers[1])
	n := int(numbers[2])
	if n > l.Length || n > len(b) {
		return l, nil, false
	}
	l.Gist = b[:n:n]
	return l, b[n:], true
}

// Outline yields a line for each record, in their order, and the *Damage where a segment
// has to be read for it; any other error is the last. Damage to what has an outline is
// found when it is read, by Read or Scan.
func (t *table) Outline(ctx context.Context) iter.Seq2[Line, error] { return outlines(ctx, t, t.gist) }

// Outline is as that of a Log.
func (r *Reader) Outline(ctx context.Context) iter.Seq2[Line, error] {
	return outlines(ctx, r, r.table.gist)
}

func outlines(ctx context.Context, src source, gist func(uint8, []byte) int) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		w := walk{ctx: ctx, yield: func(at At, err error) bool {
			l := Line{Position: at.Position, Kind: at.Kind, Length: len(at.Payload)}
			if err == nil && gist != nil {
				l.Gist = at.Payload[:gist(at.Kind, at.Payload)]
			}
			return yield(l, err)
		}}
		var buf []byte
		for {
			if w.at.Offset > 0 { // it was read through, and there may be more
				if !w.step(src) {
					return
				}
				continue
			}
			number, lines, err := outlineOf(src, w.at.Segment, buf)
			switch {
			case context.Cause(ctx) != nil:
				yield(Line{}, context.Cause(ctx))
				return
			case err != nil:
				yield(Line{Position: Position{Segment: number}}, err)
				return
			case lines == nil:
				if !w.step(src) {
					return
				}
				continue
			}
			buf = lines
			for l, rest, ok := nextLine(lines, 0); ok; l, rest, ok = nextLine(rest, l.Offset) {
				if l.Segment = number; !yield(l, nil) {
					return
				}
			}
			w.at = Position{Segment: number + 1}
		}
	}
}

// outlineOf returns the outline of a segment, or the first behind it; nil if it has
// none to be trusted, or there is no segment.
func outlineOf(src source, number uint64, buf []byte) (uint64, []byte, error) {
	p, err := src.piece(number, true)
	var damage *Damage
	switch {
	case errors.Is(err, ErrGone), errors.As(err, &damage):
		return p.number, nil, nil // who reads it through is told
	case err != nil:
		return p.number, nil, err
	}
	defer p.release()
	lines, err := p.readOutline(buf)
	return p.number, lines, err
}
