package h2

import "sync"

// chunkSize is what received payload is kept in.
const chunkSize = 8 << 10

// chunks holds the memory of buffers.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// A buffer is payload that was received and not read. The zero buffer is empty.
type buffer struct {
	chunks []*[chunkSize]byte
	r, w   int // read offset in the first, write offset in the last
	n      int // bytes

	few [2]*[chunkSize]byte // chunks has room for these before it is anywhere else
}

// add copies p to the end.
func (b *buffer) add(p []byte) {
	b.n += len(p)
	for len(p) > 0 {
		if b.chunks == nil {
			b.chunks = b.few[:0]
		}
		if len(b.chunks) == 0 || b.w == chunkSize {
			b.chunks, b.w = append(b.chunks, chunks.Get().(*[chunkSize]byte)), 0
		}
		m := copy(b.chunks[len(b.chunks)-1][b.w:], p)
		b.w += m
		p = p[m:]
	}
}

// read takes bytes from the front.
func (b *buffer) read(p []byte) int {
	total := 0
	for len(p) > 0 && b.n > 0 {
		first := b.chunks[0]
		end := chunkSize
		if len(b.chunks) == 1 {
			end = b.w
		}
		m := copy(p, first[b.r:end])
		p = p[m:]
		b.r += m
		b.n -= m
		total += m
		if b.r == end {
			b.drop()
		}
	}
	return total
}

// drop gives back the first chunk.
func (b *buffer) drop() {
	chunks.Put(b.chunks[0])
	last := copy(b.chunks, b.chunks[1:])
	b.chunks[last] = nil
	b.chunks, b.r = b.chunks[:last], 0
	if last == 0 {
		b.w = 0
	}
}

// clear drops everything and returns how much that was.
func (b *buffer) clear() int {
	n := b.n
	for len(b.chunks) > 0 {
		b.drop()
	}
	*b = buffer{}
	return n
}
