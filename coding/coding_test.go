package coding_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/molecule-man/go-brrr"

	"transom/coding"
)

const text = "what is said once, is said once, is said once"

// coded is text in each coding.
func coded(t testing.TB) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"identity": []byte(text)}
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"gzip":       func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
		"deflate":    func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil },
		"deflateraw": func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 9) },
		"br":         func(w io.Writer) (io.WriteCloser, error) { return brrr.NewWriter(w, 6) },
		"zstd":       func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
		"snappy":     func(w io.Writer) (io.WriteCloser, error) { return s2.NewWriter(w, s2.WriterSnappyCompat()), nil },
	} {
		var b bytes.Buffer
		w, err := open(&b)
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = b.Bytes()
	}
	return all
}

func TestNewReader(t *testing.T) {
	for name, b := range coded(t) {
		r, err := coding.NewReader(bytes.NewReader(b), " "+strings.ToUpper(name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := coding.NewReader(nil, "gzip, br"); err == nil {
		t.Error("two codings were taken for one")
	}
}

// A block has no frame, and is taken at once if it is not larger than its size warrants.
func TestSnappyBlock(t *testing.T) {
	r, err := coding.NewReader(bytes.NewReader(s2.EncodeSnappy(nil, []byte(text))), "snappy")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("%q, %v", got, err)
	}
	for _, bad := range []string{"", "\xff\xff\xff\x0fabc", "\x05\x00", "\xff\xff\xff\xff\xff\xff"} {
		if _, err := coding.NewReader(strings.NewReader(bad), "snappy"); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzNewReader(f *testing.F) {
	for name, b := range coded(f) {
		f.Add(name, b)
	}
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		r, err := coding.NewReader(bytes.NewReader(b), name)
		if err != nil {
			return
		}
		defer r.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
	})
}
