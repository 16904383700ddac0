package view_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"transom/app/view"
)

// message is a message with a field of every kind.
func message() string {
	var in, b []byte
	in = protowire.AppendTag(in, 1, protowire.VarintType)
	in = protowire.AppendVarint(in, 3)
	in = protowire.AppendTag(in, 2, protowire.BytesType)
	in = protowire.AppendString(in, "inside")
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, math.MaxUint64)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, "some \"text\"\n")
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	b = protowire.AppendBytes(b, in)
	b = protowire.AppendTag(b, 4, protowire.Fixed32Type)
	b = protowire.AppendFixed32(b, math.Float32bits(1.5))
	b = protowire.AppendTag(b, 5, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(-2.25))
	b = protowire.AppendTag(b, 6, protowire.StartGroupType)
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, 7)
	b = protowire.AppendTag(b, 6, protowire.EndGroupType)
	b = protowire.AppendTag(b, 7, protowire.BytesType)
	b = protowire.AppendBytes(b, []byte{0xff, 0, 1})
	b = protowire.AppendTag(b, 8, protowire.BytesType)
	b = protowire.AppendBytes(b, bytes.Repeat([]byte{0xff, 0}, 20))
	return string(b)
}

func frame(flags byte, data string) string {
	return string(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data)))) + data
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func TestProtobuf(t *testing.T) {
	rpc := view.About{Type: "application/grpc+proto", Encoding: "gzip"}
	web := frame(0, message()) + frame(0x80, "grpc-status: 0\r\ngrpc-message: ok\r\n")
	golden(t, []specimen{
		{name: "protobuf", about: view.About{Type: "application/x-protobuf"}, body: message()},
		{name: "protobuf-that-breaks", about: view.About{Type: "application/x-protobuf"}, body: message()[:20] + "\x07"},
		{name: "protobuf-group-without-an-end", about: view.About{Type: "application/x-protobuf"}, body: "\x33\x08\x01"},
		{name: "protobuf-cut-in-text", about: view.About{Type: "application/x-protobuf", Cut: true}, body: "\x08\x01\x12\x7fsome t\xc3"},
		{name: "protobuf-cut-in-bytes", about: view.About{Type: "application/x-protobuf", Cut: true}, body: "\x08\x01\x12\x7f\xff\xfe"},
		{name: "grpc", about: rpc, body: frame(0, message()[:11]) + frame(1, gzipped(message())) + frame(0, "")},
		{name: "grpc-not-compressed-as-said", about: rpc, body: frame(1, "\x08\x01")},
		{name: "grpc-cut", about: rpc, body: frame(0, message())[:20]},
		{name: "grpc-without-a-type", body: frame(0, "\x08\x05")},
		{name: "grpc-json", about: view.About{Type: "application/grpc+json"}, body: frame(0, `{"a":1}`)},
		{name: "grpc-web-text", about: view.About{Type: "application/grpc-web-text"}, body: base64.StdEncoding.EncodeToString([]byte(web[:30])) + base64.StdEncoding.EncodeToString([]byte(web[30:]))},
	})
}

// What becomes too large when it is decompressed is cut, and says so.
func TestLargeMessage(t *testing.T) {
	body := frame(1, gzipped("\x0a\x80\x80\x80\x05"+strings.Repeat("a", 10<<20)))
	got := shown(t, t.Context(), specimen{about: view.About{Type: "application/grpc", Encoding: "gzip"}, body: body})
	if !strings.Contains(got[:200], "more than 8388608 bytes by gzip from") || len(got) < 8<<20 || len(got) > 9<<20 {
		t.Errorf("%d bytes, %.200q", len(got), got)
	}
}

func FuzzProtobuf(f *testing.F) {
	fuzz(f, "protobuf", view.About{}, message(), strings.Repeat("\x0b", 300), "\x0a\x02\x08\x01")
}

func FuzzGRPC(f *testing.F) {
	fuzz(f, "grpc", view.About{Encoding: "gzip"}, frame(0, message()), frame(0x80, "a: b\r\n"), frame(1, "no"))
}

func FuzzGRPCText(f *testing.F) {
	fuzz(f, "grpc-web-text", view.About{}, "AAAAAAA=AAAAAAIIAQ==", "====")
}

func BenchmarkProtobuf(b *testing.B) { bench(b, specimen{view: "protobuf", body: message()}) }

func BenchmarkGRPC(b *testing.B) { bench(b, specimen{view: "grpc", body: frame(0, message())}) }
