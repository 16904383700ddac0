package wire_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"transom/flow"
	"transom/store/wire"
)

// equal takes nothing for nothing, however it is said.
var equal = cmp.Options{
	cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
}

// A filler gives every field that can be seen a value, so that a field that flow gets
// and wire does not know is missed.
type filler struct {
	*rand.Rand
	always bool // leave nothing out
}

func (r filler) fill(v reflect.Value) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		if r.some() {
			*p = time.Unix(r.Int64N(1<<33), r.Int64N(1e9))
		}
		return
	case *netip.AddrPort:
		*p = netip.AddrPortFrom(r.ip(), uint16(r.Uint32()))
		return
	case *flow.ID:
		if r.some() {
			*p = flow.NewID(time.Unix(r.Int64N(1<<33), r.Int64N(1e9)))
		}
		return
	case *flow.Detail:
		details := []flow.Detail{&flow.HTTP{}, &flow.DNS{}, &flow.Messages{}, &flow.Connection{}}
		*p = details[r.IntN(len(details))]
		r.fill(reflect.ValueOf(*p).Elem())
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				panic(fmt.Sprintf("%s.%s: can't be filled", v.Type(), v.Type().Field(i).Name))
			}
			r.fill(v.Field(i))
		}
	case reflect.Pointer:
		if r.some() {
			v.Set(reflect.New(v.Type().Elem()))
			r.fill(v.Elem())
		}
	case reflect.Slice:
		if r.some() {
			v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 3))
			for i := range v.Len() {
				r.fill(v.Index(i))
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			r.fill(v.Index(i))
		}
	case reflect.String:
		if r.some() {
			v.SetString(strings.Repeat(string(rune('a'+r.IntN(26)))+"\xff", 1+r.IntN(200)))
		}
	case reflect.Bool:
		v.SetBool(r.some())
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(r.Uint64()) >> r.IntN(63))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64()>>r.IntN(63)&(1<<v.Type().Bits()-1) | 1)
	default:
		panic(fmt.Sprintf("%s: wire has no way to write that", v.Type()))
	}
}

func (r filler) some() bool { return r.always || r.IntN(3) > 0 }

func (r filler) ip() netip.Addr {
	switch r.IntN(4) {
	case 0:
		return netip.AddrFrom4([4]byte{byte(r.Uint32()), 1, 2, 3})
	case 1:
		return netip.MustParseAddr("fe80::1%eth0")
	case 2:
		return netip.MustParseAddr("::ffff:192.0.2.1")
	}
	return netip.Addr{}
}

// A shelf keeps blobs by number.
type shelf [][]byte

func (s *shelf) put(blobs [][]byte) (names []uint64) {
	for _, b := range blobs {
		*s = append(*s, b)
		names = append(names, uint64(len(*s)))
	}
	return names
}

func (s *shelf) get(name uint64) ([]byte, error) {
	if name > uint64(len(*s)) {
		return nil, errors.New("no such blob")
	}
	return (*s)[name-1], nil
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := filler{rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)), rapid.Bool().Draw(t, "everything")}
		var f flow.Flow
		r.fill(reflect.ValueOf(&f).Elem())
		b := wire.AppendFlow([]byte("before"), &f, 77)
		got, conn, err := wire.ReadFlow(b[len("before"):])
		if err != nil || conn != 77 {
			t.Fatalf("conn %d, %v", conn, err)
		}
		got.Conn = f.Conn
		if d := cmp.Diff(&f, got, equal); d != "" {
			t.Fatal(d)
		}
		if f.Conn == nil {
			return
		}
		var s shelf
		b = wire.AppendConn(nil, f.Conn, s.put(wire.Blobs(nil, f.Conn)))
		c, err := wire.ReadConn(b, s.get)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(f.Conn, c, equal); d != "" {
			t.Fatal(d)
		}
	})
}

// exchange is an ordinary one of HTTP/1.1.
func exchange() *flow.Flow {
	start := time.Unix(1_700_000_000, 123_456_789)
	raw := "GET /api/v1/items?page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0\r\n" +
		"Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nCookie: session=0123456789abcdef\r\n\r\n"
	answer := "HTTP/1.1 200 OK\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Type: application/json\r\nContent-Length: 1234\r\nServer: nginx\r\n\r\n"
	return &flow.Flow{
		ID: flow.NewID(start), Rev: 1, Start: start, End: start.Add(31 * time.Millisecond), State: flow.Done,
		Detail: &flow.HTTP{
			Request: &flow.RequestHead{
				Method: "GET", Scheme: "https", Authority: "shop.example", Target: "/api/v1/items?page=2", Proto: flow.HTTP11,
				Header: fields(raw), Raw: []byte(raw),
			},
			Response:     &flow.ResponseHead{Status: 200, Reason: "OK", Proto: flow.HTTP11, Header: fields(answer), Raw: []byte(answer)},
			ResponseBody: flow.BodyRef{Segment: 4711, Size: 1234, Kept: 1234},
			FirstByte:    start.Add(30 * time.Millisecond),
		},
	}
}

func fields(raw string) (h flow.Header) {
	for _, line := range strings.Split(raw, "\r\n")[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok {
			h = append(h, flow.Field{Name: name, Value: strings.TrimSpace(value)})
		}
	}
	return h
}

// overH2 is the same by HTTP/2.
func overH2() *flow.Flow {
	f := exchange()
	h := f.Detail.(*flow.HTTP)
	for _, header := range []*flow.Header{&h.Request.Header, &h.Response.Header} {
		for i := range *header {
			(*header)[i].Name = strings.ToLower((*header)[i].Name)
			(*header)[i].Form = flow.FormIncremental | flow.FormNameIndexed | flow.FormHuffmanValue
		}
	}
	h.Request.Raw, h.Response.Raw, h.Request.Proto, h.Response.Proto = nil, nil, flow.HTTP2, flow.HTTP2
	h.Request.H2 = &flow.H2Head{Stream: 13, Pseudo: flow.Header{
		{Name: ":method", Value: "GET"},
		{Name: ":path", Value: h.Request.Target},
		{Name: ":authority", Value: h.Request.Authority},
		{Name: ":scheme", Value: "https"},
	}}
	h.Response.H2 = &flow.H2Head{Stream: 13, Pseudo: flow.Header{{Name: ":status", Value: "200"}}}
	return f
}

// A field that the head as it came says is not written twice.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name string
		f    *flow.Flow
		most int
	}{{"http/1.1", exchange(), 490}, {"http/2", overH2(), 480}} {
		n := len(wire.AppendFlow(nil, c.f, 1<<20))
		t.Logf("%s: %d bytes", c.name, n)
		if n > c.most {
			t.Errorf("%s takes %d bytes, want at most %d", c.name, n, c.most)
		}
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 64<<10)
	r := filler{rand.New(rand.NewPCG(1, 2)), true}
	var c flow.Conn
	r.fill(reflect.ValueOf(&c).Elem())
	names := new(shelf).put(wire.Blobs(nil, &c))
	blobs := make([][]byte, 0, len(names))
	for name, f := range map[string]func(){
		"http/1.1": func() { wire.AppendFlow(buf, exchanged, 9) },
		"http/2":   func() { wire.AppendFlow(buf, byH2, 9) },
		"conn":     func() { wire.AppendConn(buf, &c, names); wire.Blobs(blobs, &c) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

var exchanged, byH2 = exchange(), overH2()

// What a later program writes behind what is known here is stepped over.
func TestLaterFieldsAreSkipped(t *testing.T) {
	b := append(wire.AppendFlow(nil, exchanged, 9), "\x00later"...) // behind what another program has said
	f, _, err := wire.ReadFlow(b)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(exchanged, f, equal); d != "" {
		t.Error(d)
	}
	c := &flow.Conn{Network: "tcp", Host: "h", Layers: []flow.Layer{{Proto: "h2"}}}
	b = wire.AppendConn(nil, c, nil)
	// The layer's block grows by two octets.
	i := strings.LastIndex(string(b), "\x02h2")
	b[i-1] += 2
	behind := []byte{7, 7, 0, 0} // and that there is no server and no device
	b = append(b[:len(b)-2], behind...)
	got, err := wire.ReadConn(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, got, equal); d != "" {
		t.Error(d)
	}
}

func TestDamage(t *testing.T) {
	good := wire.AppendFlow(nil, exchanged, 9)
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"empty":     {nil, "offset 0: it is empty"},
		"version":   {append([]byte{99}, good[1:]...), "offset 0: unknown version"},
		"cut-short": {good[:12], "offset 2: longer than what is there"},
		"number":    {[]byte{1, 0x80}, "offset 2: cut short within a number"},
		"text":      {good[:len(good)-1], "longer than what is there"},
	} {
		_, _, err := wire.ReadFlow(c.b)
		var damage *wire.Error
		if !errors.As(err, &damage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// No more is allocated than the input warrants, and what was read can be written.
func FuzzReadFlow(f *testing.F) {
	f.Add(wire.AppendFlow(nil, exchanged, 9))
	f.Add(wire.AppendFlow(nil, byH2, 9))
	r := filler{rand.New(rand.NewPCG(1, 2)), true}
	for range 8 {
		var one flow.Flow
		r.fill(reflect.ValueOf(&one).Elem())
		f.Add(wire.AppendFlow(nil, &one, 1))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, conn, err := wire.ReadFlow(b)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > uint64(64*len(b)+64<<10) {
			t.Fatalf("%d bytes allocated for %d", n, len(b))
		}
		if err != nil {
			return
		}
		again, _, err := wire.ReadFlow(wire.AppendFlow(nil, got, conn))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, equal); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzReadConn(f *testing.F) {
	r := filler{rand.New(rand.NewPCG(3, 4)), true}
	for range 8 {
		var one flow.Conn
		r.fill(reflect.ValueOf(&one).Elem())
		f.Add(wire.AppendConn(nil, &one, new(shelf).put(wire.Blobs(nil, &one))))
	}
	blob := []byte("blob")
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := wire.ReadConn(b, func(uint64) ([]byte, error) { return blob, nil })
		if err != nil {
			return
		}
		var s shelf
		again, err := wire.ReadConn(wire.AppendConn(nil, got, s.put(wire.Blobs(nil, got))), s.get)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(got, again, equal); d != "" {
			t.Fatal(d)
		}
	})
}

func BenchmarkAppendFlow(b *testing.B) {
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = wire.AppendFlow(buf[:0], exchanged, 9)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkReadFlow(b *testing.B) {
	buf := wire.AppendFlow(nil, exchanged, 9)
	b.ReportAllocs()
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, _, err := wire.ReadFlow(buf); err != nil {
			b.Fatal(err)
		}
	}
}
