package mitm_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/app/mitm"
	"transom/store"
)

// FuzzRead: no file makes the reader fall over, and what it reads is read alike once it is
// written.
func FuzzRead(f *testing.F) {
	s := all(f)
	for _, format := range []int{12, 17, 21} {
		f.Add(written(f, s, format))
	}
	for _, file := range hostile {
		f.Add([]byte(file.data))
	}
	for _, file := range foreign() {
		f.Add([]byte(file.data))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		to := store.NewMemory(store.MemoryOptions{})
		_ = mitm.Read(context.Background(), bytes.NewReader(file), to)
		var again scene
		again.Memory = to
		for f, err := range to.Flows(context.Background(), store.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			again.flows = append(again.flows, f)
		}
		for _, k := range everything(t, read(t, written(t, &again, 0))) {
			if k.ID.IsZero() {
				t.Error("a flow has lost its ID")
			}
		}
	})
}

// FuzzForeign: whatever is put aside with flows, what is written with it is read again.
func FuzzForeign(f *testing.F) {
	for _, file := range foreign() {
		to := store.NewMemory(store.MemoryOptions{})
		if err := mitm.Read(context.Background(), strings.NewReader(file.data), to); err != nil {
			f.Fatal(err)
		}
		for x, err := range to.Flows(context.Background(), store.Query{}) {
			if err != nil {
				f.Fatal(err)
			}
			f.Add(x.Foreign, x.Conn.Foreign)
		}
	}
	f.Add(tnet(text("id"))+tnet(list{1}), tnet(text("client_conn"))+tnet(dict{"id": nil, "alpn": dict{}, "timestamp_start": "x"}))
	f.Fuzz(func(t *testing.T, of, ofConn string) {
		s := all(t)
		c := *s.flows[0].Conn
		c.Foreign = ofConn
		for i, x := range s.flows {
			y := *x
			y.Foreign, y.Conn = of, &c
			s.flows[i] = &y
		}
		for _, format := range []int{mitm.Oldest, 17, mitm.Newest} {
			everything(t, read(t, written(t, s, format)))
		}
	})
}

// hostile are files that are wrong, with what is said of them.
var hostile = []struct{ name, data, want string }{
	{"no-length", "x", `offset 0: want a length and a colon, found "x"`},
	{"long-length", "1234567890123:", "offset 0: a length has more than 12 digits"},
	{"padded", "01:x}", "offset 0: a length begins with 0"},
	{"cut-in-length", "12", "offset 2: the file ends in the middle of a flow"},
	{"cut-in-payload", "999999999999:", "offset 13: the file ends in the middle of a flow"},
	{"cut-before-tag", "3:abc", "offset 5: the file ends in the middle of a flow"},
	{"no-dict", "3:abc,", `offset 5: want a flow, which ends in '}', found ','`},
	{"odd-tag", "8:1:a;1:b?}", `offset 9: there is no kind of value '?'`},
	{"short-inside", "8:1:a;9:b;}", "offset 6: it ends in the middle of a value"},
	{"no-value", "4:1:a;}", "offset 6: the last entry has no value"},
	{"odd-name", "8:1:1#1:b;}", "offset 2: the name of an entry is not text"},
	{"odd-text", "8:1:a;1:\xff;}", "offset 8: text is not UTF-8"},
	{"odd-number", "8:1:a;1:x#}", `offset 8: "x" is no whole number`},
	{"odd-float", "9:1:a;2:0x^}", `offset 8: "0x" is no number`},
	{"odd-truth", "8:1:a;1:t!}", "offset 8: a truth value is neither true nor false"},
	{"odd-null", "8:1:a;1:t~}", "offset 8: null is not empty"},
	{"nested", nested(100), "values are nested more than 64 deep"},
	{"no-version", "8:1:a;1:b;}", "flow at offset 0: it has no version: this is not a flow of mitmproxy's"},
	{"newer", "15:7:version;2:22#}", "flow at offset 0: format 22 is newer than 21"},
	{"no-type", "15:7:version;2:21#}", `flow at offset 0: flows of type "" are not known`},
	{"no-request", "29:4:type;4:http;7:version;2:21#}", "flow at offset 0: it has no request"},
	{"har", `{"log":{}}`, "JSON"},
	{"har-behind-mark", "\xef\xbb\xbf{}", "JSON"},
}

func nested(n int) string {
	v := "0:]"
	for range n {
		v = length(v) + "]"
	}
	return length("1:a;"+v) + "}"
}

func length(s string) string {
	var b bytes.Buffer
	b.WriteString(itoa(len(s)))
	b.WriteString(":" + s)
	return b.String()
}

// TestHostile: what is wrong is said, with where, and what was before it is kept.
func TestHostile(t *testing.T) {
	s := all(t)
	s.flows = s.flows[:2]
	good := written(t, s, 0)
	for _, tc := range hostile {
		t.Run(tc.name, func(t *testing.T) {
			err := mitm.Read(context.Background(), strings.NewReader(tc.data), store.NewMemory(store.MemoryOptions{}))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("alone: %v, want %q", err, tc.want)
			}
			if strings.Contains(tc.want, "JSON") {
				if !errors.Is(err, mitm.ErrHAR) {
					t.Error("that is HAR")
				}
				return
			}
			to := store.NewMemory(store.MemoryOptions{})
			if err := mitm.Read(context.Background(), io.MultiReader(bytes.NewReader(good), strings.NewReader(tc.data)), to); err == nil {
				t.Error("behind others: no error")
			}
			if d := cmp.Diff(2, to.Stats().Flows); d != "" {
				t.Error("what was before it:", d)
			}
		})
	}
}

// TestCut: a file may end at any octet, and all whole flows are there.
func TestCut(t *testing.T) {
	s := all(t)
	s.flows = s.flows[:1]
	one := written(t, s, 0)
	two := append(bytes.Clone(one), one...)
	for n := range two {
		to := store.NewMemory(store.MemoryOptions{})
		err := mitm.Read(context.Background(), bytes.NewReader(two[:n]), to)
		if whole := n == 0 || n == len(one); (err == nil) != whole {
			t.Fatalf("%d of %d: %v", n, len(one), err)
		}
		if got, want := to.Stats().Flows, n/len(one); got != want {
			t.Fatalf("%d of %d: %d flows", n, len(one), got)
		}
	}
}

// TestAllocates: a length alone takes no memory.
func TestAllocates(t *testing.T) {
	for _, file := range []string{"999999999999:x", nested(60)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = mitm.Read(context.Background(), strings.NewReader(file), &drain{})
		runtime.ReadMemStats(&after)
		n := after.TotalAlloc - before.TotalAlloc
		if n > 2<<20 {
			t.Errorf("%d octets of %.20q take %d", len(file), file, n)
		}
	}
}
