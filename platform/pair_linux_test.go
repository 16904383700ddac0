package platform

import (
	"net"
	"os"
	"testing"
)

// TestPair: messages stay apart, and what is no pair is closed and refused.
func TestPair(t *testing.T) {
	near, far, err := NewPair("near", "far")
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	other, err := TakePair(far)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, m := range []string{"one", "two"} {
		if _, err := near.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 16)
	if n, err := other.Read(b); err != nil || string(b[:n]) != "one" {
		t.Errorf("%q, %v", b[:n], err)
	}
	if err := far.Close(); err == nil {
		t.Error("the file is open still")
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*os.File{socket, null} {
		if _, err := TakePair(f); err == nil {
			t.Errorf("%s is a pair", f.Name())
		}
		if f.Close() == nil {
			t.Errorf("%s is open still", f.Name())
		}
	}
}
