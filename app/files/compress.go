package files

import (
	"compress/gzip"
	"compress/zlib"
	"io"
	"path/filepath"
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

// plainName is a name without the end that says how the file is compressed, if another
// one is before that.
func plainName(name string) string {
	return strings.TrimSuffix(strings.TrimSuffix(name, ".gz"), ".zst")
}

// Compress returns a writer that compresses as the end of a name says, or not at all.
// Close writes the end; it leaves w open.
func Compress(w io.Writer, name string) (io.WriteCloser, error) { return compress(w, name) }

// Compressed reports whether the end of a name says that the file is.
func Compressed(name string) bool {
	for _, end := range [...]string{".gz", ".zst", ".zhar"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// OtherCompression returns the end of a name that says that the file is compressed in a
// way that is not known here, or "".
func OtherCompression(name string) string {
	switch end := strings.ToLower(filepath.Ext(name)); end {
	case ".bz2", ".xz", ".lzma", ".lz", ".lz4", ".lzo", ".br", ".z", ".7z", ".zip", ".rar":
		return end
	}
	return ""
}

// compress returns the compressor that the end of a name says. None compresses nothing.
func compress(w io.Writer, name string) (compressor, error) {
	switch {
	case strings.HasSuffix(name, ".gz"):
		return gzip.NewWriter(w), nil
	case strings.HasSuffix(name, ".zhar"): // which mitmproxy has
		return zlib.NewWriter(w), nil
	case strings.HasSuffix(name, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	}
	return plain{w}, nil
}

type plain struct{ io.Writer }

func (plain) Flush() error { return nil }
func (plain) Close() error { return nil }
