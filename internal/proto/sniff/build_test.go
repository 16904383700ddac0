package sniff_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

// A hello is a ClientHello to be written.
type hello struct {
	version uint16
	suites  []uint16
	exts    []ext
	noExts  bool
}

type ext struct {
	typ  uint16
	data []byte
}

// message returns the handshake message.
func (h hello) message() []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8(1)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddUint16(h.version)
		b.AddBytes(make([]byte, 32))
		b.AddUint8LengthPrefixed(func(*cryptobyte.Builder) {})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addAll(b, h.suites) })
		b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(0) })
		if h.noExts {
			return
		}
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, e := range h.exts {
				b.AddUint16(e.typ)
				b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(e.data) })
			}
		})
	})
	return b.BytesOrPanic()
}

func addAll(b *cryptobyte.Builder, list []uint16) {
	for _, v := range list {
		b.AddUint16(v)
	}
}

// numbers is an extension whose body is a list of numbers, as groups and
// signature algorithms are.
func numbers(typ uint16, list ...uint16) ext {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { addAll(b, list) })
	return ext{typ, b.BytesOrPanic()}
}

func versions(list ...uint16) ext {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { addAll(b, list) })
	return ext{43, b.BytesOrPanic()}
}

func serverNames(names ...string) ext {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, n := range names {
			b.AddUint8(0)
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(n)) })
		}
	})
	return ext{0, b.BytesOrPanic()}
}

func alpn(names ...string) ext {
	b := cryptobyte.NewBuilder(nil)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, n := range names {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(n)) })
		}
	})
	return ext{16, b.BytesOrPanic()}
}

func points(list ...uint8) ext {
	return ext{11, append([]byte{byte(len(list))}, list...)}
}

// records cuts msg into records of at most size bytes.
func records(msg []byte, size int) []byte {
	var out []byte
	for len(msg) > 0 {
		n := min(size, len(msg))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out = append(out, msg[:n]...)
		msg = msg[n:]
	}
	return out
}

// plain is an ordinary hello.
func plain() hello {
	return hello{
		version: 0x0303,
		suites:  []uint16{0x1301, 0xc02b, 0xc02f},
		exts: []ext{
			serverNames("shop.example"), numbers(10, 29, 23), numbers(13, 0x0403, 0x0804),
			alpn("h2", "http/1.1"), versions(0x0304, 0x0303),
		},
	}
}

// captured returns the recorded hellos of real programs, by file name.
func captured(t testing.TB) map[string][]byte {
	files, err := filepath.Glob("testdata/*.hello")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded hellos: %v", err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = b
	}
	return out
}

// body returns the handshake message of a stream of one record.
func body(stream []byte) []byte { return bytes.Clone(stream[5:]) }
