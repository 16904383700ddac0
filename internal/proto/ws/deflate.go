package ws

import (
	"bytes"
	"compress/flate"
	"sync"
)

// A packer compresses one message. It never refers to a message before, which
// is allowed whatever was agreed (RFC 7692, section 7.2.1), and needs no memory
// between messages.
type packer struct {
	w      *flate.Writer
	out    bytes.Buffer
	window int // how far back the receiver can look
	since  int // octets since w has forgotten everything
}

// packers lends compressors, which take 600 KB each; without it that is what a
// changed message costs (BenchmarkChanged).
var packers = sync.Pool{New: func() any { return new(packer) }}

func newPacker(window int) *packer {
	z := packers.Get().(*packer)
	z.out.Reset()
	if z.w == nil {
		z.w, _ = flate.NewWriter(&z.out, flate.DefaultCompression) // that level exists
	} else {
		z.w.Reset(&z.out)
	}
	z.window, z.since = window, 0
	return z
}

// free gives z back.
func (z *packer) free() {
	if z.out.Cap() > 1<<20 {
		z.out = bytes.Buffer{}
	}
	packers.Put(z)
}

// write compresses p. The standard compressor looks back 32 KB. Where that is
// too far it is made to forget in time.
func (z *packer) write(p []byte) {
	for len(p) > 0 {
		n := len(p)
		if z.window < maxWindow {
			if z.since == z.window {
				_ = z.w.Flush() // a bytes.Buffer takes everything
				z.w.Reset(&z.out)
				z.since = 0
			}
			n = min(n, z.window-z.since)
		}
		_, _ = z.w.Write(p[:n])
		z.since += n
		p = p[n:]
	}
}

// flush completes an octet and returns all that has come out since. What it
// returns is valid until the next write. At the end of a message the last four
// octets are left out.
func (z *packer) flush(end bool) []byte {
	_ = z.w.Flush()
	p := z.out.Bytes()
	z.out.Reset()
	if end {
		p = p[:len(p)-4]
	}
	return p
}
