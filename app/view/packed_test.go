package view_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"transom/app/view"
)

const (
	msgpacked = "\x89\xa1a\x01\xa1b\xff\xa1c\xc0\xa1d\xc3\xa1e\x93\xcd\x01\x00\xd1\xff\x00\xcf\xff\xff\xff\xff\xff\xff\xff\xff" +
		"\xa1f\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa1g\xc4\x02\xff\x00\x01\x90\xa1h\xd6\xff\x68\x00\x00\x00" + "\xd4\x05\x07"
	cborred = "\xa9\x61a\x01\x61b\x20\x61c\xf6\x61d\xf5\x61e\x83\x19\x01\x00\x38\xff\x3b\xff\xff\xff\xff\xff\xff\xff\xff" +
		"\x61f\xf9\x3e\x00\x61g\x42\xff\x00\x01\x9f\x01\x02\xff\x61h\xc1\x1a\x68\x00\x00\x00" + "\x7f\x61x\x61y\xff"
)

func token(parts ...string) string {
	for i := range parts {
		parts[i] = base64.RawURLEncoding.EncodeToString([]byte(parts[i]))
	}
	return strings.Join(parts, ".")
}

func TestPacked(t *testing.T) {
	jwt := token(`{"alg":"HS256","typ":"JWT"}`, `{"sub":"1","iat":1700000000,"exp":1.8e9}`, "signed, or not")
	golden(t, []specimen{
		{name: "msgpack", about: view.About{Type: "application/msgpack"}, body: msgpacked},
		{name: "msgpack-that-breaks", about: view.About{Type: "application/x-msgpack"}, body: "\x93\x01\xc1\x02"},
		{name: "msgpack-too-deep", view: "msgpack", body: strings.Repeat("\x91", 300)},
		{name: "cbor", about: view.About{Type: "application/cbor"}, body: cborred},
		{name: "cbor-that-breaks", about: view.About{Type: "application/cbor"}, body: "\x82\x01\x5a\xff\xff\xff\xffab"},
		{name: "jwt", body: jwt + "\n"},
		{name: "jwt-by-type", about: view.About{Type: "application/jwt"}, body: jwt},
		{name: "jwt-that-is-none", about: view.About{Type: "application/jwt"}, body: "a.b.c"},
	})
}

func FuzzMessagePack(f *testing.F) {
	fuzz(f, "msgpack", view.About{}, msgpacked, "\xdf\xff\xff\xff\xff\x01\x02", "\x91\x91\x91")
}

func FuzzCBOR(f *testing.F) {
	fuzz(f, "cbor", view.About{}, cborred, "\x9f\x9f\xff\xff", "\xc1\xc1\xc1", "\x5f\x41a\xff")
}

func FuzzJWT(f *testing.F) {
	fuzz(f, "jwt", view.About{}, token(`{"alg":"none"}`, `{"exp":1e300}`, ""), "..", "eyJ....")
}

func BenchmarkMessagePack(b *testing.B) { bench(b, specimen{view: "msgpack", body: msgpacked}) }

func BenchmarkCBOR(b *testing.B) { bench(b, specimen{view: "cbor", body: cborred}) }
