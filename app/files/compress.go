package files

import (
	"compress/gzip"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// A compressor compresses what is written to it. After Flush all of that can be read of
// what is below, by whoever reads along, and after a crash.
type compressor interface {
	io.Writer
	Flush() error
	Close() error
}

// compress returns the compressor that the end of a name says. None compresses nothing.
func compress(w io.Writer, name string) (compressor, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Flush() error { return nil }
func (plain) Close() error { return nil }
