package h1

import (
	"bytes"
	"io"

	"transom/flow"
)

// A chunkState is where in a chunked body the reader stands (RFC 9112, section
// 7.1):
//
//	chunkStart -> chunkData -> chunkEnd -> chunkData …
//	                                    -> chunkTrailer (after the last chunk)
type chunkState uint8

const (
	chunkStart   chunkState = iota // before the first chunk's size
	chunkData                      // left bytes of data follow
	chunkEnd                       // the CRLF behind a chunk's data follows
	chunkTrailer                   // trailer section
)

// chunkLine bounds the line of a chunk's size and extensions.
const chunkLine = 4 << 10

// readChunked reads payload of one chunk. All framing it passes on the way is
// collected in p.frame.
func (p *payload) readChunked(b []byte) (int, error) {
	for {
		switch p.chunk {
		case chunkData:
			n, err := p.take(b, p.left)
			if p.left -= int64(n); p.left == 0 {
				p.endChunk()
			}
			return n, unexpected(err)
		case chunkEnd:
			if err := p.crlf(); err != nil {
				return 0, err
			}
			p.chunk = chunkStart
		case chunkStart:
			if err := p.size(); err != nil {
				return 0, err
			}
		case chunkTrailer:
			if err := p.trailers(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
	}
}

// size reads a chunk's size line.
func (p *payload) size() error {
	l, err := p.line(chunkLine, "chunk size")
	if err != nil {
		return err
	}
	n, digits := int64(0), 0
	for ; digits < len(l); digits++ {
		d := unhex(l[digits])
		if d < 0 {
			break
		}
		if n > (1<<63-1)>>4 {
			return malformed("chunk size", "%q is too large", cut(string(l)))
		}
		n = n<<4 | int64(d)
	}
	if digits == 0 || digits != len(l) && !isExtension(string(l[digits:])) {
		return malformed("chunk size", "%q is not a size", cut(string(l)))
	}
	if n == 0 {
		p.chunk = chunkTrailer
		return nil
	}
	p.left, p.chunk = n, chunkData
	return nil
}

// isExtension reports whether s, which stands behind a chunk's size, is a chunk
// extension; white space may come before it, not instead of it.
func isExtension(s string) bool {
	ext := trim(s)
	return ext != "" && ext[0] == ';' && isValue(ext)
}

// crlfBytes ends a chunk's data.
const crlfBytes = "\r\n"

// endChunk takes the line end behind a chunk's data if it is there already, so
// that it goes on with them.
func (p *payload) endChunk() {
	p.chunk = chunkEnd
	if b := p.in.bytes(); len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		p.after = append(p.after[:0], crlfBytes...)
		p.in.use(2)
		p.chunk = chunkStart
	}
}

// bufferedChunk is Buffered: what is there of the chunk, or of the next one if
// its size is; the last one counts once all of it is there.
func (p *payload) bufferedChunk() int {
	b := p.in.bytes()
	if p.chunk == chunkData {
		return int(min(p.left, int64(len(b))))
	}
	if p.chunk == chunkEnd {
		if len(b) < 2 {
			return 0
		}
		b = b[2:]
	}
	size := bytes.IndexByte(b, '\n') + 1
	switch {
	case p.chunk == chunkTrailer || size == 0 || size == len(b):
		return 0
	case b[0] == '0' && !bytes.Contains(b[size-2:], []byte("\r\n\r\n")):
		return 0
	}
	return len(b) - size
}

// crlf reads the line end behind a chunk's data.
func (p *payload) crlf() error {
	for p.in.buffered() < 2 {
		if b := p.in.bytes(); len(b) == 1 && b[0] != '\r' {
			break
		}
		if err := p.more(); err != nil {
			return err
		}
	}
	if b := p.in.bytes(); b[0] != '\r' || b[1] != '\n' {
		return malformed("chunk", "its data is not followed by CRLF")
	}
	p.frame = append(p.frame, crlfBytes...)
	p.in.use(2)
	return nil
}

// trailers reads the trailer section, through its empty line.
func (p *payload) trailers() error {
	for {
		l, err := p.line(p.limits.head(), "trailer section")
		if err != nil {
			return err
		}
		if len(l) == 0 {
			return nil
		}
		if p.lines++; p.lines > p.limits.fields() {
			return malformedStatus(431, "trailer section", "more than the limit of %d fields", p.limits.fields())
		}
		var f flow.Field
		if err := field(string(l), &f); err != nil {
			err.Where = "trailer field " + itoa(p.lines)
			return err
		}
		p.trailer = append(p.trailer, f)
	}
}

// line reads through the next CRLF, into p.frame, and returns the line without
// it; it is valid until the next call.
func (p *payload) line(limit int, where string) ([]byte, error) {
	for scanned := 0; ; {
		b := p.in.bytes()
		if i := bytes.IndexByte(b[scanned:], '\n'); i >= 0 {
			i += scanned
			if i == 0 || b[i-1] != '\r' {
				return nil, malformed(where, "a line ends in LF without CR")
			}
			if i+len(p.frame) > limit {
				return nil, malformed(where, "longer than the limit of %d bytes", limit)
			}
			from := len(p.frame)
			p.frame = append(p.frame, b[:i+1]...)
			p.in.use(i + 1)
			return p.frame[from : from+i-1], nil
		}
		if scanned = len(b); scanned+len(p.frame) > limit {
			return nil, malformed(where, "longer than the limit of %d bytes", limit)
		}
		if err := p.more(); err != nil {
			return nil, err
		}
	}
}

// more waits for at least one more byte of framing.
func (p *payload) more() error {
	if err := p.await(); err != nil {
		return err
	}
	if err := p.in.fill(); err != nil {
		return unexpected(p.readError(err))
	}
	return nil
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
