package pf

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unsafe"
)

// The structs as the systems' headers have them, written down apart from the layouts.
type (
	darwinNatlook struct {
		Saddr, Daddr, Rsaddr, Rdaddr       [16]byte
		Sxport, Dxport, Rsxport, Rdxport   [4]byte
		AF, Proto, ProtoVariant, Direction uint8
	}
	freebsdNatlook struct {
		Saddr, Daddr, Rsaddr, Rdaddr [16]byte
		Sport, Dport, Rsport, Rdport [2]byte
		AF, Proto, Direction, _      uint8
	}
	openbsdNatlook struct {
		Saddr, Daddr, Rsaddr, Rdaddr [16]byte
		Rdomain, Rrdomain            uint16
		Sport, Dport, Rsport, Rdport [2]byte
		AF, Proto, Direction, _      uint8
	}
)

// TestLayouts holds sizes, offsets and request numbers to the structs, and to what C
// compilers for these systems make of the headers.
func TestLayouts(t *testing.T) {
	var d darwinNatlook
	var f freebsdNatlook
	var o openbsdNatlook
	tests := map[string]struct {
		request        uint32
		size           uintptr
		addrs          [4]uintptr
		sport, dport   uintptr
		rdport, rdom   uintptr
		af, proto, dir uintptr
		inet6          uint8
	}{
		"darwin": {
			0xc0544417, unsafe.Sizeof(d),
			[4]uintptr{unsafe.Offsetof(d.Saddr), unsafe.Offsetof(d.Daddr), unsafe.Offsetof(d.Rsaddr), unsafe.Offsetof(d.Rdaddr)},
			unsafe.Offsetof(d.Sxport), unsafe.Offsetof(d.Dxport), unsafe.Offsetof(d.Rdxport), 0,
			unsafe.Offsetof(d.AF), unsafe.Offsetof(d.Proto), unsafe.Offsetof(d.Direction), 30,
		},
		"freebsd": {
			0xc04c4417, unsafe.Sizeof(f),
			[4]uintptr{unsafe.Offsetof(f.Saddr), unsafe.Offsetof(f.Daddr), unsafe.Offsetof(f.Rsaddr), unsafe.Offsetof(f.Rdaddr)},
			unsafe.Offsetof(f.Sport), unsafe.Offsetof(f.Dport), unsafe.Offsetof(f.Rdport), 0,
			unsafe.Offsetof(f.AF), unsafe.Offsetof(f.Proto), unsafe.Offsetof(f.Direction), 28,
		},
		"openbsd": {
			0xc0504417, unsafe.Sizeof(o),
			[4]uintptr{unsafe.Offsetof(o.Saddr), unsafe.Offsetof(o.Daddr), unsafe.Offsetof(o.Rsaddr), unsafe.Offsetof(o.Rdaddr)},
			unsafe.Offsetof(o.Sport), unsafe.Offsetof(o.Dport), unsafe.Offsetof(o.Rdport), unsafe.Offsetof(o.Rdomain),
			unsafe.Offsetof(o.AF), unsafe.Offsetof(o.Proto), unsafe.Offsetof(o.Direction), 24,
		},
	}
	for system, want := range tests {
		t.Run(system, func(t *testing.T) {
			l, ok := LayoutOf(system)
			if !ok {
				t.Fatal("no layout")
			}
			if l.Request() != want.request {
				t.Errorf("request %#x, want %#x", l.Request(), want.request)
			}
			if uintptr(l.size) != want.size {
				t.Errorf("size %d, want %d", l.size, want.size)
			}
			if got := [4]uintptr{atClient, atLocal, 32, atOriginal}; got != want.addrs {
				t.Errorf("addresses at %d, want %d", got, want.addrs)
			}
			got := [...]int{l.sport, l.dport, l.rdport, l.rdomain, l.af, l.proto, l.direction, int(l.inet6)}
			for i, w := range [...]uintptr{want.sport, want.dport, want.rdport, want.rdom, want.af, want.proto, want.dir, uintptr(want.inet6)} {
				if uintptr(got[i]) != w {
					t.Errorf("field %d is %d, want %d", i, got[i], w)
				}
			}
		})
	}
	if _, ok := LayoutOf("linux"); ok {
		t.Error("Linux has a pf")
	}
}

// TestEncode holds a question for each system to the bytes that are sent.
func TestEncode(t *testing.T) {
	client, local := ap("192.168.1.111:40000"), ap("127.0.0.1:8080")
	ends := "c0a8016f" + zeros(12) + "7f000001" + zeros(12) + zeros(32)
	client6, local6 := ap("[2001:db8::f3db]:40002"), ap("[::1]:8080")
	ends6 := "20010db800000000000000000000f3db" + zeros(15) + "01" + zeros(32)
	for system, want := range map[string][2]string{
		"darwin":  {ends + "9c400000" + "1f900000" + zeros(8) + "02060002", ends6 + "9c420000" + "1f900000" + zeros(8) + "1e060002"},
		"freebsd": {ends + "9c401f90" + zeros(4) + "02060200", ends6 + "9c421f90" + zeros(4) + "1c060200"},
		"openbsd": {ends + zeros(4) + "9c401f90" + zeros(4) + "02060200", ends6 + zeros(4) + "9c421f90" + zeros(4) + "18060200"},
	} {
		l, _ := LayoutOf(system)
		for i, q := range []question{{client: client, local: local}, {client: client6, local: local6}} {
			arg := make([]byte, l.size)
			l.encode(arg, q)
			if got := hexOf(arg); got != want[i] {
				t.Errorf("%s: %v is\n%s, want\n%s", system, q, got, want[i])
			}
		}
	}
	l, _ := LayoutOf("openbsd")
	arg := make([]byte, l.size)
	l.encode(arg, question{client: client, local: local, domain: 7})
	var o openbsdNatlook
	if err := binary.Read(bytes.NewReader(arg), binary.NativeEndian, &o); err != nil || o.Rdomain != 7 {
		t.Errorf("routing domain %d, %v", o.Rdomain, err)
	}
}
