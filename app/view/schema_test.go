package view_test

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"transom/app/view"
)

const schemaDir = "testdata/schema"

// A shop is the schema as others read it, for messages that others write.
type shop struct {
	files []protoreflect.FileDescriptor
	types *dynamicpb.Types
}

func newShop(t testing.TB) *shop {
	t.Helper()
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{schemaDir}})}
	all, err := c.Compile(t.Context(), "shop/v1/cart.proto", "shop/v1/money.proto")
	if err != nil {
		t.Fatal(err)
	}
	var s shop
	set := &descriptorpb.FileDescriptorSet{}
	for _, f := range all {
		s.files = append(s.files, f)
		for i := range f.Imports().Len() {
			if in := f.Imports().Get(i); !strings.HasPrefix(in.Path(), "shop/") {
				set.File = append(set.File, protodesc.ToFileDescriptorProto(in.FileDescriptor))
			}
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	reg, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	s.types = dynamicpb.NewTypes(reg)
	return &s
}

// message is what JSON says, as bytes.
func (s *shop) message(t testing.TB, name, json string) string {
	t.Helper()
	kind, err := s.types.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	m := kind.New().Interface()
	if err := (protojson.UnmarshalOptions{Resolver: s.types}).Unmarshal([]byte(json), m); err != nil {
		t.Fatal(err)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// set writes a file as protoc -o does.
func (s *shop) set(t testing.TB) string {
	t.Helper()
	all := &descriptorpb.FileDescriptorSet{}
	for _, f := range s.files {
		all.File = append(all.File, protodesc.ToFileDescriptorProto(f))
	}
	b, err := proto.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "shop.protoset")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const cart = `{"id":"7","state":"STATE_OPEN","items":[{"name":"tea\n","count":2,"price":{"currency":"EUR","units":"-5","steps":[1,-1],"note":{"text":"n"},"[shop.v1.taxed]":true}},{}],
"labels":{"a":"-3"},"codes":[1,-1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17],"created":"2026-03-04T05:06:07.5Z","lives":"90s","token":"/wAB","score":-2.25,
"extra":{"@type":"type.googleapis.com/shop.v1.GetRequest","id":"x"},"parent":{"extra":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.5s"}},
"paid":true,"history":["STATE_OPEN",9],"picture":"//////////////////////////////////////////////////8=","share":0.1,"delta":"-9"}`

func readSchema(t testing.TB, names ...string) *view.Schema {
	t.Helper()
	s, err := view.ReadSchema(names)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchema(t *testing.T) {
	s, schema := newShop(t), readSchema(t, schemaDir)
	m := s.message(t, "shop.v1.Cart", cart)
	ask := s.message(t, "shop.v1.GetRequest", `{"id":"7"}`)
	rpc := view.About{Type: "application/grpc", Target: "/shop.v1.Carts/Get", Response: true, Encoding: "gzip"}
	asked := rpc
	asked.Response = false
	other := rpc
	other.Target = "/shop.v1.Carts/Put"
	typed := view.About{Type: "application/x-protobuf; messageType=shop.v1.Cart"}
	cut := typed
	cut.Cut = true
	golden(t, []specimen{
		{name: "schema", schema: schema, about: typed, body: m},
		{name: "schema-grpc", schema: schema, about: rpc, body: frame(0, m[:3]) + frame(1, gzipped(m[:3])) + frame(0, "")},
		{name: "schema-grpc-asked", schema: schema, about: asked, body: frame(0, ask)},
		{name: "schema-grpc-web", schema: schema, about: view.About{Type: "application/grpc-web+proto", Target: "https://shop.example/api/shop.v1.Carts/Get?x=1"}, body: frame(0, ask) + frame(0x80, "grpc-status: 0\r\n")},
		{name: "schema-grpc-unknown", schema: schema, about: other, body: frame(0, ask)},
		{name: "schema-grpc-web-text", schema: schema, about: view.About{Type: "application/grpc-web-text+proto", Encoding: "deflate", Target: "/shop.v1.Carts/Get"}, body: base64.StdEncoding.EncodeToString([]byte(frame(1, "\x78\x9c\xe3\x62\x34\x07\x00\x00\x5a\x00\x43"))) + base64.StdEncoding.EncodeToString([]byte(frame(0x80, "grpc-status: 0\r\n")))},
		{name: "schema-connect-stream", schema: schema, about: view.About{Type: "application/connect+proto", Encoding: "gzip", Target: "/shop.v1.Carts/Watch", Response: true}, body: frame(1, gzipped(m[:5])) + frame(2, `{"metadata":{}}`)},
		{name: "schema-connect", schema: schema, about: view.About{Type: "application/proto", Target: "/shop.v1.Carts/Get"}, body: ask},
		{name: "schema-delimited", schema: schema, about: view.About{Type: `application/vnd.google.protobuf; proto=shop.v1.GetRequest; encoding=delimited`}, body: "\x03" + ask + "\x00\x03" + ask},
		{name: "schema-lacks-fields", schema: schema, about: typed, body: m[:3] + "\xc0\x3e\x05\xcb\x3e\x08\x01\xcc\x3e"},
		{name: "schema-cut", schema: schema, about: cut, body: m[:40]},
		{name: "schema-cut-in-text", schema: schema, about: cut, body: m[:5] + "\x0a\x09eleven"},
		{name: "schema-wrong-type", schema: schema, about: typed, body: "\x0a\x01x\x12\x01y"},
		{name: "schema-wrong-inside", schema: schema, about: typed, body: "\x1a\x02\x0d\x01"},
		{name: "schema-wrong-text", schema: schema, about: typed, body: "\x0a\x02\xff\xfe"},
		{name: "schema-wrong-packed", schema: schema, about: typed, body: "\x2a\x02\x01\xff"},
		{name: "schema-wrong-group", schema: schema, about: view.About{Type: "application/protobuf; proto=shop.v1.Money"}, body: "\x2a\x03\x08\x01\x2c"},
		{name: "schema-lacks-fields-inside", schema: schema, about: typed, body: "\x1a\x03\xc0\x3e\x05"},
		{name: "schema-wrong-altogether", schema: schema, about: typed, body: "\xc0\x3e\x05"},
	})
}

// Wherever a schema is from, it says the same.
func TestSchemaFiles(t *testing.T) {
	s := newShop(t)
	body := specimen{about: view.About{Type: "application/protobuf; proto=shop.v1.Cart"}, body: s.message(t, "shop.v1.Cart", cart), schema: readSchema(t, schemaDir)}
	want := shown(t, t.Context(), body)
	for name, names := range map[string][]string{
		"file":            {schemaDir + "/shop/v1/cart.proto"},
		"files":           {schemaDir + "/shop/v1/money.proto", schemaDir + "/shop/v1/cart.proto"},
		"file-below":      {schemaDir + "/shop/v1/cart.proto", schemaDir},
		"set":             {s.set(t)},
		"set-and-sources": {s.set(t), schemaDir},
	} {
		t.Run(name, func(t *testing.T) {
			body.schema = readSchema(t, names...)
			if got := shown(t, t.Context(), body); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What is wrong with a schema is said with its place, and what to do.
func TestSchemaErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	const head = "syntax = \"proto3\";\n"
	for name, tc := range map[string]struct {
		names []string
		want  string
	}{
		"syntax":   {[]string{write("a.proto", head+"message A {\n  string = 1;\n}\n")}, dir + "/a.proto:3:10: "},
		"type":     {[]string{write("b.proto", head+"message B {\n  C c = 1;\n}\n")}, dir + "/b.proto:3:3: "},
		"import":   {[]string{write("c.proto", head+"import \"no/d.proto\";\n")}, dir + `/c.proto:2:8: import "no/d.proto" is not there: name the directory`},
		"circle":   {[]string{write("e/e.proto", head+"import \"f.proto\";\n"), write("e/f.proto", head+"import \"e.proto\";\n")}, `f.proto:2:8: import "e.proto" leads back here`},
		"itself":   {[]string{write("g.proto", head+"import \"g.proto\";\n")}, `g.proto:2:8: import "g.proto" leads back here`},
		"twice":    {[]string{write("h/h.proto", head+"message H {}\n"), write("h/i.proto", head+"message H {}\n")}, "H"},
		"two-ways": {[]string{write("j/k/l.proto", head+"message L {}\n"), write("j/m.proto", head+"import \"l.proto\";\n"), dir + "/j/k", dir + "/j"}, `imported as`},
		"set":      {[]string{write("n.pb", "\x0a\x05nonsense")}, "n.pb: neither a .proto file by its name nor a set of descriptors"},
		"control":  {[]string{write("p.pb", "\x0a\x10\x0a\x04a\x1b[3\x22\x08\x0a\x06b\x1b[31m")}, `p.pb: "a\x1b[3": `},
		"unlinked": {[]string{write("q.pb", "\x0a\x0b\x0a\x01q\x1a\x06r\x1b[31m")}, `q.pb: "q": import "r\x1b[31m" is not there`},
		"empty":    {[]string{write("o.pb", "")}, "it has no files"},
		"nothing":  {[]string{t.TempDir()}, "there is no .proto file in it"},
		"missing":  {[]string{dir + "/none.proto"}, "name a .proto file, a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := view.ReadSchema(tc.names)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := view.ReadSchema([]string{dir + "/none.proto"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// FuzzSchema shows anything as a message of a schema.
func FuzzSchema(f *testing.F) {
	s := newShop(f)
	schema := readSchema(f, schemaDir)
	m := s.message(f, "shop.v1.Cart", cart)
	for _, seed := range []string{m, m[:len(m)/2], "\x62\x02\x62\x00", "\x5a\x04\x0a\x02xx"} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, cut bool) {
		about := view.About{Type: "application/protobuf; proto=shop.v1.Cart", Cut: cut}
		v, err := view.Of(t.Context(), about, body, view.Options{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for range v.Lines {
			if lines++; lines > 64*len(body)+256 {
				t.Fatalf("%d lines of %d bytes", lines, len(body))
			}
		}
	})
}

// FuzzDescriptors reads anything as a set of descriptors.
func FuzzDescriptors(f *testing.F) {
	set, err := os.ReadFile(newShop(f).set(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(set)
	f.Add([]byte("\x0a\x03\x0a\x01a"))
	f.Fuzz(func(t *testing.T, set []byte) {
		name := filepath.Join(t.TempDir(), "a.pb")
		if err := os.WriteFile(name, set, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = view.ReadSchema([]string{name})
	})
}

// FuzzProtoFile reads anything as a .proto file.
func FuzzProtoFile(f *testing.F) {
	for _, name := range []string{"cart", "money"} {
		b, err := os.ReadFile(schemaDir + "/shop/v1/" + name + ".proto")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "a.proto")
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = view.ReadSchema([]string{name})
	})
}

func BenchmarkSchema(b *testing.B) {
	s := specimen{about: view.About{Type: "application/protobuf; proto=shop.v1.Cart"}, body: newShop(b).message(b, "shop.v1.Cart", cart), schema: readSchema(b, schemaDir)}
	bench(b, s)
}
