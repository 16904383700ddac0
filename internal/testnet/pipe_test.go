package testnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"transom/internal/testnet"
)

var (
	phone  = netip.MustParseAddrPort("10.0.0.2:50000")
	server = netip.MustParseAddrPort("203.0.113.7:443")
)

// end is what a Pipe's ends and TCP connections have in common.
type end interface {
	net.Conn
	CloseWrite() error
	SetLinger(int) error
}

func memory(*testing.T) (a, b end) { return testnet.Pipe(phone, server) }

// loopback is the real thing, to hold the fake to.
func loopback(t *testing.T) (a, b end) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	return d.(*net.TCPConn), c
}

// TestPipeEndsAsTCP runs each script over a Pipe and over the kernel's TCP.
func TestPipeEndsAsTCP(t *testing.T) {
	scripts := []struct {
		name string
		run  func(t *testing.T, a, b end)
	}{
		{"half-close-leaves-the-other-half", func(t *testing.T, a, b end) {
			send(t, a, "question")
			check(t, a.CloseWrite())
			wantAll(t, b, "question", nil)
			send(t, b, "answer")
			check(t, b.Close())
			wantAll(t, a, "answer", nil)
		}},
		{"write-after-closewrite-is-a-broken-pipe", func(t *testing.T, a, _ end) {
			check(t, a.CloseWrite())
			_, err := a.Write([]byte("x"))
			wantErr(t, err, syscall.EPIPE)
		}},
		{"close-is-eof", func(t *testing.T, a, b end) {
			check(t, a.Close())
			wantAll(t, b, "", nil)
		}},
		{"linger-zero-is-a-reset", func(t *testing.T, a, b end) {
			check(t, a.SetLinger(0))
			check(t, a.Close())
			wantAll(t, b, "", syscall.ECONNRESET)
		}},
		{"close-with-unread-data-is-a-reset", func(t *testing.T, a, b end) {
			send(t, b, "never read")
			var one [1]byte
			_, err := a.Read(one[:])
			check(t, err)
			check(t, a.Close())
			wantAll(t, b, "", syscall.ECONNRESET)
		}},
		{"reset-after-half-close-leaves-eof-and-breaks-the-pipe", func(t *testing.T, a, b end) {
			send(t, b, "never read")
			check(t, a.CloseWrite())
			wantAll(t, b, "", nil)
			var one [1]byte
			_, err := a.Read(one[:])
			check(t, err)
			check(t, a.Close())
			_, err = b.Write([]byte("x"))
			for range 1 << 20 { // the kernel's reset may take a moment
				if err != nil {
					break
				}
				_, err = b.Write([]byte("x"))
			}
			wantErr(t, err, syscall.EPIPE)
			wantAll(t, b, "", nil)
		}},
		{"writes-to-a-closed-end-break-in-the-end", func(t *testing.T, a, b end) {
			check(t, b.Close())
			_, err := a.Write([]byte("taken by the kernel"))
			check(t, err)
			for range 1 << 20 {
				if _, err = a.Write([]byte("x")); err != nil {
					break
				}
			}
			wantErr(t, err, syscall.EPIPE)
		}},
		{"a-blocked-writer-sees-the-reset", func(t *testing.T, a, b end) {
			done := make(chan error)
			go func() {
				_, err := a.Write(make([]byte, 64<<20))
				done <- err
			}()
			var one [1]byte
			_, err := b.Read(one[:])
			check(t, err)
			check(t, b.SetLinger(0))
			check(t, b.Close())
			wantErr(t, <-done, syscall.ECONNRESET)
		}},
		{"a-blocked-reader-sees-its-own-close", func(t *testing.T, a, _ end) {
			done := make(chan error)
			go func() {
				_, err := a.Read(make([]byte, 1))
				done <- err
			}()
			check(t, a.Close())
			wantErr(t, <-done, net.ErrClosed)
		}},
		{"a-closed-end-fails-everything", func(t *testing.T, a, _ end) {
			check(t, a.Close())
			_, r := a.Read(make([]byte, 1))
			_, w := a.Write([]byte("x"))
			for _, err := range []error{r, w, a.Close(), a.CloseWrite(), a.SetDeadline(time.Now()), a.SetLinger(0)} {
				wantErr(t, err, net.ErrClosed)
			}
		}},
		{"a-deadline-in-the-past-fails-at-once", func(t *testing.T, a, b end) {
			send(t, b, "waits")
			check(t, a.SetDeadline(time.Unix(1, 0)))
			_, r := a.Read(make([]byte, 1))
			_, w := a.Write([]byte("x"))
			wantErr(t, r, os.ErrDeadlineExceeded)
			wantErr(t, w, os.ErrDeadlineExceeded)
			check(t, a.SetDeadline(time.Time{}))
			check(t, b.Close())
			wantAll(t, a, "waits", nil)
		}},
		{"errors-are-those-of-package-net", func(t *testing.T, a, b end) {
			check(t, b.SetLinger(0))
			check(t, b.Close())
			_, err := a.Read(make([]byte, 1))
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "read" || op.Net != "tcp" || op.Addr.String() != a.RemoteAddr().String() {
				t.Errorf("error %#v, want a net.OpError that says read, tcp and the address", err)
			}
		}},
	}
	for _, kind := range []struct {
		name string
		make func(*testing.T) (a, b end)
	}{{"memory", memory}, {"kernel", loopback}} {
		for _, s := range scripts {
			t.Run(kind.name+"/"+s.name, func(t *testing.T) {
				a, b := kind.make(t)
				defer a.Close()
				defer b.Close()
				s.run(t, a, b)
			})
		}
	}
}

func TestPipeReadsWhatCameBeforeTheReset(t *testing.T) {
	a, b := testnet.Pipe(phone, server)
	send(t, a, "last words")
	check(t, a.SetLinger(0))
	check(t, a.Close())
	for range 2 {
		if n := b.Buffered(); n != 0 {
			wantAll(t, b, "last words", syscall.ECONNRESET)
		}
		wantAll(t, b, "", syscall.ECONNRESET)
	}
	_, err := b.Write([]byte("x"))
	wantErr(t, err, syscall.ECONNRESET)
	_, err = b.Write([]byte("x"))
	wantErr(t, err, syscall.EPIPE)
}

func TestPipeHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := testnet.Pipe(phone, server)
		defer a.Close()
		defer b.Close()
		wrote := make(chan int, 1)
		go func() {
			n, _ := a.Write(make([]byte, testnet.Buffer+1))
			wrote <- n
		}()
		synctest.Wait()
		if len(wrote) != 0 {
			t.Fatal("a write went on past a full buffer")
		}
		if _, err := io.ReadFull(b, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := <-wrote; n != testnet.Buffer+1 {
			t.Errorf("wrote %d bytes, want %d", n, testnet.Buffer+1)
		}
		if n := b.Buffered(); n != testnet.Buffer {
			t.Errorf("%d bytes buffered, want %d", n, testnet.Buffer)
		}
	})
}

func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := testnet.Pipe(phone, server)
		defer a.Close()
		defer b.Close()
		start := time.Now()
		check(t, a.SetReadDeadline(start.Add(time.Minute)))
		check(t, a.SetReadDeadline(start.Add(time.Hour))) // takes the first one's place
		_, err := a.Read(make([]byte, 1))
		wantErr(t, err, os.ErrDeadlineExceeded)
		if d := time.Since(start); d != time.Hour {
			t.Errorf("read gave up after %v, want an hour", d)
		}
		check(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		check(t, b.SetReadBuffer(10))
		n, err := a.Write(make([]byte, 11))
		wantErr(t, err, os.ErrDeadlineExceeded)
		if n != 10 {
			t.Errorf("wrote %d bytes before the deadline, want 10", n)
		}
	})
}

func TestPipeSegments(t *testing.T) {
	a, b := testnet.Pipe(phone, server)
	b.SetSegment(1)
	send(t, a, "abc")
	check(t, a.Close())
	var got []string
	for p := make([]byte, 8); ; {
		n, err := b.Read(p)
		if err != nil {
			break
		}
		got = append(got, string(p[:n]))
	}
	if len(got) != 3 {
		t.Errorf("reads gave %q, want one byte each", got)
	}
}

func TestPipeAddresses(t *testing.T) {
	a, b := testnet.Pipe(phone, server)
	for _, c := range []struct {
		got  net.Addr
		want netip.AddrPort
	}{{a.LocalAddr(), phone}, {a.RemoteAddr(), server}, {b.LocalAddr(), server}, {b.RemoteAddr(), phone}} {
		if got := c.got.(*net.TCPAddr).AddrPort(); got != c.want {
			t.Errorf("address %v, want %v", got, c.want)
		}
	}
}

// TestPipeIsAConn runs the conformance tests of golang.org/x/net.
func TestPipeIsAConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		a, b := testnet.Pipe(phone, server)
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func send(t *testing.T, c net.Conn, s string) {
	t.Helper()
	_, err := c.Write([]byte(s))
	check(t, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// wantAll reads c to its end: nil is EOF.
func wantAll(t *testing.T, c net.Conn, want string, end error) {
	t.Helper()
	var got bytes.Buffer
	_, err := got.ReadFrom(c)
	if !errors.Is(err, end) {
		t.Errorf("reading ended with %v, want %v", err, end)
	}
	if got.String() != want {
		t.Errorf("read %q, want %q", got.String(), want)
	}
}
