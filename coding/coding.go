// Package coding undoes the content codings of HTTP (RFC 9110, section 8.4.1).
package coding

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/molecule-man/go-brrr"
)

// maxWindow bounds the memory that zstd takes: what RFC 9659 allows in HTTP.
const maxWindow = 8 << 20

// NewReader returns a reader of what r holds in the coding called name: gzip, deflate
// with or without zlib's frame, br, zstd, snappy, or identity. The caller bounds what is read
// and closes it; r stays open.
func NewReader(r io.Reader, name string) (io.ReadCloser, error) {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "", "none", "identity":
		return io.NopCloser(r), nil
	case "gzip", "x-gzip":
		return gzip.NewReader(r)
	case "deflate", "deflateraw":
		return inflate(r)
	case "br":
		return io.NopCloser(brrr.NewReader(r)), nil
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case "snappy":
		return unsnap(r)
	}
	return nil, fmt.Errorf("content coding %q is not known", name)
}

// inflate reads zlib's format, or what some servers send in its place: deflate bare.
func inflate(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReader(r)
	if head, err := b.Peek(2); err == nil && head[0]&15 == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}
