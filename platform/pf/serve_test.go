package pf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestMain is also the process that TestStart starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := serveFake(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveFake(args []string) error {
	file := os.NewFile(3, "line")
	line, err := net.FileConn(file)
	if err != nil {
		return err
	}
	file.Close()
	if len(args) == 0 {
		return Refuse(line, errors.New("no pf today"))
	}
	l, _ := LayoutOf("darwin")
	k := &kernel{system: "darwin", states: map[[2]netip.AddrPort]netip.AddrPort{}}
	k.add("10.0.0.2:4000", args[0], "192.0.2.1:443")
	return Serve(line, &Table{Device: k, Layout: l}, []netip.AddrPort{ap(args[0])})
}

// serving returns an Asker for a table, in one process.
func serving(t *testing.T, pf Looker, listeners ...netip.AddrPort) *Asker {
	t.Helper()
	near, far := net.Pipe()
	var ended sync.WaitGroup
	ended.Go(func() {
		defer far.Close()
		if err := Serve(far, pf, listeners); err != nil {
			t.Error(err)
		}
	})
	a, err := NewAsker(near)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		ended.Wait()
	})
	return a
}

func TestAsker(t *testing.T) {
	systems(t, func(t *testing.T, k *kernel, table *Table) {
		k.add("10.0.0.2:4000", "127.0.0.1:8080", "192.0.2.1:443")
		k.add("[2001:db8::2]:4000", "[::1]:8080", "[2001:db8:f::1]:80")
		k.add("[fe80::2]:4000", "[fe80::1]:8080", "[fe80::9]:80")
		k.add("10.0.0.2:4000", "127.0.0.1:22", "192.0.2.1:443")
		a := serving(t, table, ap("127.0.0.1:8080"), ap("[::1]:8080"), ap("[fe80::1]:8080"))
		zone := zoneName(1)
		for _, tt := range [][3]string{
			{"10.0.0.2:4000", "127.0.0.1:8080", "192.0.2.1:443"},
			{"[::ffff:10.0.0.2]:4000", "[::ffff:127.0.0.1]:8080", "192.0.2.1:443"},
			{"[2001:db8::2]:4000", "[::1]:8080", "[2001:db8:f::1]:80"},
			{"[fe80::2%" + zone + "]:4000", "[fe80::1%" + zone + "]:8080", "[fe80::9%" + zone + "]:80"},
		} {
			if got, err := a.Original(ap(tt[0]), ap(tt[1])); err != nil || got != ap(tt[2]) {
				t.Errorf("%s to %s: %v, %v", tt[0], tt[1], got, err)
			}
		}
		if _, err := a.Original(ap("10.0.0.3:4000"), ap("127.0.0.1:8080")); !errors.Is(err, ErrNoState) || !strings.Contains(err.Error(), "10.0.0.3:4000") {
			t.Errorf("a stranger: %v", err)
		}
		asked := k.asked
		if got, err := a.Original(ap("10.0.0.2:4000"), ap("127.0.0.1:22")); err == nil || errors.Is(err, ErrNoState) || k.asked != asked {
			t.Errorf("somebody else's port: %v, %v", got, err)
		}
		k.err = io.ErrUnexpectedEOF
		if _, err := a.Original(ap("10.0.0.2:4000"), ap("127.0.0.1:8080")); err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
			t.Errorf("a failure: %v", err)
		}
	})
}

func TestAskerManyAtOnce(t *testing.T) {
	l, _ := LayoutOf("darwin")
	k := &kernel{system: "darwin", states: map[[2]netip.AddrPort]netip.AddrPort{}}
	for i := range 50 {
		k.add(fmt.Sprintf("10.0.0.2:%d", 4000+i), "127.0.0.1:8080", fmt.Sprintf("192.0.2.1:%d", 1+i))
	}
	a := serving(t, &Table{Device: k, Layout: l}, ap("[::]:8080"))
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			got, err := a.Original(ap(fmt.Sprintf("10.0.0.2:%d", 4000+i)), ap("127.0.0.1:8080"))
			if err != nil || int(got.Port()) != 1+i {
				t.Errorf("%d: %v, %v", i, got, err)
			}
		})
	}
	all.Wait()
}

func TestAllowed(t *testing.T) {
	for _, tt := range []struct {
		listener, local string
		want            bool
	}{
		{"127.0.0.1:8080", "127.0.0.1:8080", true},
		{"127.0.0.1:8080", "127.0.0.1:8081", false},
		{"127.0.0.1:8080", "10.0.0.1:8080", false},
		{"[::]:8080", "10.0.0.1:8080", true},
		{"0.0.0.0:0", "10.0.0.1:8080", true},
		{"[fe80::1]:8080", "[fe80::1%lo]:8080", true},
	} {
		if err := allowed([]netip.AddrPort{ap(tt.listener)}, ap(tt.local)); (err == nil) != tt.want {
			t.Errorf("%s for %s: %v", tt.listener, tt.local, err)
		}
	}
	if allowed(nil, ap("127.0.0.1:8080")) == nil {
		t.Error("without listeners")
	}
}

// TestStart: the process answers, ends with the line, and says why it can't.
func TestStart(t *testing.T) {
	a, err := Start(os.Args[0], "serve", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Original(ap("10.0.0.2:4000"), ap("127.0.0.1:8080")); err != nil || got != ap("192.0.2.1:443") {
		t.Errorf("%v, %v", got, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Original(ap("10.0.0.2:4000"), ap("127.0.0.1:8080")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := Start(os.Args[0], "serve"); err == nil || !strings.Contains(err.Error(), "no pf today") {
		t.Errorf("one that refuses: %v", err)
	}
	if _, err := Start("/nonexistent"); err == nil {
		t.Error("one that is not there")
	}
}

// TestAskerLost: a process that is killed is said to be gone, each time.
func TestAskerLost(t *testing.T) {
	a, err := Start(os.Args[0], "serve", "127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := a.Original(ap("10.0.0.2:4000"), ap("127.0.0.1:8080")); err == nil || !strings.Contains(err.Error(), "start transom again") {
			t.Errorf("%v", err)
		}
	}
	if err := a.Close(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("its end: %v", err)
	}
}

// FuzzServe: whatever is asked, it is answered in form, or the line ends.
func FuzzServe(f *testing.F) {
	var q bytes.Buffer
	if err := writeQuestion(&q, ap("10.0.0.2:4000"), ap("127.0.0.1:8080")); err != nil {
		f.Fatal(err)
	}
	f.Add(q.Bytes())
	f.Add(append(q.Bytes(), 0))
	l, _ := LayoutOf("openbsd")
	f.Fuzz(func(t *testing.T, in []byte) {
		k := &kernel{system: "openbsd"}
		var out bytes.Buffer
		line := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), &out}
		_ = Serve(line, &Table{Device: k, Layout: l}, []netip.AddrPort{ap("[::]:0")})
		for out.Len() > 0 {
			if _, _, err := readAnswer(&out); err != nil {
				t.Fatal(err)
			}
		}
	})
}
