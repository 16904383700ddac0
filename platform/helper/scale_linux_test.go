package helper_test

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"transom/platform/lab"
)

// TestPortsThatAreTaken: the same source again is answered, by the kernel if there
// was TIME_WAIT, by the errno else.
func TestPortsThatAreTaken(t *testing.T) {
	b := start(t, charter())
	b.divert(t)
	dst := b.origin(t, lab.ServerAddr4+":80")
	from := upstream(lab.ClientAddr4 + ":50000")
	for range 3 {
		c, err := b.dial(t, from, dst)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil {
			t.Error(err)
		}
		c.Close() // the server was first, so that it waits; then it is our turn
	}
	first, err := b.dial(t, from, dst)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, err := b.dial(t, from, dst); !errors.Is(err, unix.EADDRNOTAVAIL) && !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("while it is open: %v", err)
	}
	// a port for which somebody listens
	l, err := b.Gateway.Listen(t.Context(), netip.MustParseAddrPort("0.0.0.0:50001"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := b.dial(t, upstream(lab.ClientAddr4+":50001"), dst); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("while somebody listens on the port: %v", err)
	}
}

// TestAnyPort uses up nearly all there are to choose from.
func TestAnyPort(t *testing.T) {
	n := bedWithoutHelper(t)
	if err := n.Gateway.Sysctl("net.ipv4.ip_local_port_range", "40000 40015"); err != nil {
		t.Fatal(err)
	}
	var err error
	if n.Client, err = n.start(t, charter()); err != nil {
		t.Fatal(err)
	}
	n.divert(t)
	dst := n.origin(t, lab.ServerAddr4+":80")
	seen := map[string]bool{}
	for range 12 {
		c, err := n.dial(t, upstream(lab.ClientAddr4+":0"), dst)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		seen[c.LocalAddr().String()] = true
	}
	if len(seen) != 12 {
		t.Errorf("%d ports", len(seen))
	}
}

// TestNoDescriptorLeaks prepares 20,000 sockets.
func TestNoDescriptorLeaks(t *testing.T) {
	b := start(t, charter())
	pid := b.diary.await(t, "open nft")
	b.divert(t)
	dst := b.origin(t, lab.ServerAddr4+":80")
	ours, theirs := open(t, os.Getpid()), open(t, pid)
	err := b.Gateway.Do(func() error {
		for i := range 20_000 {
			// a port that nothing listens on: refused at once
			s := upstream(lab.ClientAddr4 + ":0")
			at := netip.AddrPortFrom(dst.Addr(), 81)
			if i%100 == 0 {
				at = dst
			}
			c, err := b.Dial(t.Context(), s, at)
			switch {
			case err == nil:
				c.Close()
			case !errors.Is(err, unix.ECONNREFUSED):
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if now := open(t, pid); now != theirs {
		t.Errorf("the helper has %d descriptors, had %d", now, theirs)
	}
	if now := open(t, os.Getpid()); now > ours+8 { // the origin may be behind
		t.Errorf("the proxy has %d descriptors, had %d", now, ours)
	}
}

// open counts a process's descriptors.
func open(t testing.TB, pid int) int {
	t.Helper()
	list, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// BenchmarkDial is a connection that is refused, with and without a helper's help.
func BenchmarkDial(b *testing.B) {
	bed := start(b, charter())
	bed.divert(b)
	dst := netip.MustParseAddrPort(lab.ServerAddr4 + ":81")
	for name, from := range map[string]string{"prepared": lab.ClientAddr4 + ":0", "marked": ""} {
		b.Run(name, func(b *testing.B) { benchmarkDial(b, bed, from, dst) })
	}
	b.Run("plain", func(b *testing.B) {
		b.ReportAllocs()
		err := bed.Gateway.Do(func() error {
			for b.Loop() {
				if _, err := bed.Client.Host.Dial(b.Context(), upstream(""), dst); !errors.Is(err, unix.ECONNREFUSED) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
}

func benchmarkDial(b *testing.B, bed *bed, from string, dst netip.AddrPort) {
	b.ReportAllocs()
	s := upstream(from)
	err := bed.Gateway.Do(func() error {
		for b.Loop() {
			if _, err := bed.Dial(b.Context(), s, dst); !errors.Is(err, unix.ECONNREFUSED) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
