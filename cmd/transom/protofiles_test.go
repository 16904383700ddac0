package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"transom/flow"
	"transom/store"
)

// aCall is a call of gRPC, with an answer in two messages of which one is compressed.
func aCall(t *testing.T, dir string) {
	t.Helper()
	d, err := store.OpenDisk(store.DiskOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []store.BodyWriter
	body := func(frames ...[]byte) flow.BodyRef {
		w := d.NewBody()
		bodies = append(bodies, w)
		for _, f := range frames {
			if _, err := w.Write(f); err != nil {
				t.Fatal(err)
			}
		}
		return w.Ref()
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)
	grpc := flow.Header{{Name: "content-type", Value: "application/grpc"}, {Name: "grpc-encoding", Value: "gzip"}}
	f := &flow.Flow{
		ID: flow.NewID(at), Start: at, End: at.Add(time.Second), State: flow.Done,
		Conn: &flow.Conn{ID: flow.NewID(at), Start: at, Network: "tcp", Client: netip.MustParseAddrPort("192.0.2.7:50000"), Dst: netip.MustParseAddrPort("10.9.0.2:80")},
		Detail: &flow.HTTP{
			Request:      &flow.RequestHead{Method: "POST", Scheme: "http", Authority: "shop.example", Target: "/shop.Carts/Get", Proto: flow.HTTP2, Header: grpc},
			RequestBody:  body(framed(0, field(1, "seven"))),
			Response:     &flow.ResponseHead{Status: 200, Proto: flow.HTTP2, Header: grpc},
			ResponseBody: body(framed(0, "\x10\x01"), framed(1, field(1, field(1, "tea")+"\x10\x03"))),
		},
	}
	err = d.Put(t.Context(), f)
	for _, w := range bodies {
		err = errors.Join(err, w.Close())
	}
	if err = errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
}

func field(n protowire.Number, s string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, n, protowire.BytesType), s))
}

func framed(flags byte, data string) []byte {
	if flags == 1 {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, data)
		_ = z.Close()
		data = b.String()
	}
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(data))), data...)
}

func TestProto(t *testing.T) {
	dir := t.TempDir()
	aCall(t, dir)
	for _, args := range [][]string{
		{"show", "-f", "~all"},
		{"list", "--flow-detail", "3"},
	} {
		args = append([]string{"flows"}, append(args, "--store", dir)...)
		got := said(t, append(args, "--proto", "testdata/shop.proto")...)
		for _, want := range []string{`id: "seven"`, "(shop.Cart)\n", "paid: true\n", "by gzip from", "items: {\n", `name: "tea"`, "count: -2\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("%q: %q is not in\n%s", args, want, got)
			}
		}
		if got = said(t, args...); !strings.Contains(got, `1: "tea"`) || strings.Contains(got, "items") {
			t.Errorf("without a schema %q prints\n%s", args, got)
		}
	}
}
