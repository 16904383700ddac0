package neighbour

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
)

// A fakeKernel is a table that tests change, and that tells what changes or loses it.
type fakeKernel struct {
	mu    sync.Mutex
	links map[netip.Addr]link
	lists int
	tells chan []news // nil is a loss
	done  chan struct{}
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{links: map[netip.Addr]link{}, tells: make(chan []news, 64), done: make(chan struct{})}
}

// put gives an address to a device; tell is whether that is told.
func (k *fakeKernel) put(addr string, last byte, tell bool) {
	k.mu.Lock()
	n := news{addr: netip.MustParseAddr(addr), link: link{mac: mac{2, 0, 0x5e, 0x10, 0, last}, index: 1, sure: true}}
	k.links[n.addr] = n.link
	k.mu.Unlock()
	if tell {
		k.tells <- []news{n}
	}
}

func (k *fakeKernel) list() (all []news, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lists++
	for a, l := range k.links {
		all = append(all, news{addr: a, link: l})
	}
	return all, nil
}

func (k *fakeKernel) next() ([]news, bool, error) {
	select {
	case n := <-k.tells:
		return n, n == nil, nil
	case <-k.done:
		return nil, false, net.ErrClosed
	}
}

func (k *fakeKernel) Close() error { close(k.done); return nil }

// A fakeResolver answers by a table, after a while.
type fakeResolver struct {
	after time.Duration
	names map[string]string // "!" is no answer
	asked []string
}

func (r *fakeResolver) lookup(ctx context.Context, addr string) ([]string, error) {
	r.asked = append(r.asked, addr)
	if !sleep(ctx, r.after) {
		return nil, &net.DNSError{IsTimeout: true}
	}
	switch name := r.names[addr]; name {
	case "!":
		return nil, errors.New("nobody is there")
	case "":
		return nil, &net.DNSError{IsNotFound: true}
	default:
		return []string{name}, nil
	}
}

// who asks as an engine does, and waits for the answer. It is in words.
func who(w *Watch, addr string) string {
	client := netip.MustParseAddr(addr)
	d, known := w.Known(client)
	how := ""
	if !known {
		answer := make(chan *flow.Device, 1)
		w.Ask(client, func(d *flow.Device) { answer <- d })
		d, how = <-answer, "found "
	}
	if d == nil {
		return how + "nobody"
	}
	return how + fmt.Sprintf("%s %s %s", d.MAC, d.Name, d.NamedBy)
}

// want checks such an answer.
func want(t *testing.T, w *Watch, addr, want string) {
	t.Helper()
	if got := who(w, addr); got != want {
		t.Errorf("%s is %q, want %q", addr, got, want)
	}
}

// bed is a watch of fakes, in time that is fake.
func bed(t *testing.T, o Options, r *fakeResolver, f func(w *Watch, k *fakeKernel, leases string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k, leases := newFakeKernel(), filepath.Join(t.TempDir(), "dnsmasq.leases")
		if r == nil {
			r = new(fakeResolver)
		}
		if err := os.WriteFile(leases, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		w := begin(o, k, r.lookup, []place{{leases, dnsmasq}})
		w.told = true // as on Linux
		f(w, k, leases)
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		want(t, w, "192.168.7.20", "nobody")
	})
}

// write gives a file another size than it had.
func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const first, second = "02:00:5e:10:00:01", "02:00:5e:10:00:02"

// TestWatch: several addresses are one device, and a device may change its address.
func TestWatch(t *testing.T) {
	bed(t, Options{Sources: Sources{Leases: true}}, nil, func(w *Watch, k *fakeKernel, leases string) {
		write(t, leases, "0 "+first+" 192.168.7.20 phone *\n")
		for _, a := range []string{"192.168.7.20", "fe80::20", "2001:db8::1:20"} {
			k.put(a, 1, false)
		}
		want(t, w, "192.168.7.20", "found "+first+" phone dhcp")
		want(t, w, "192.168.7.20", first+" phone dhcp")
		want(t, w, "::ffff:192.168.7.20", first+" phone dhcp")
		want(t, w, "fe80::20%eth0", first+" phone dhcp")
		want(t, w, "2001:db8::1:20", first+" phone dhcp")
		a, _ := w.Known(netip.MustParseAddr("fe80::20"))
		if b, _ := w.Known(netip.MustParseAddr("192.168.7.20")); a != b {
			t.Error("one device is two values")
		}
		want(t, w, "127.0.0.1", "nobody")

		k.put("192.168.7.30", 1, true) // another address
		k.put("192.168.7.20", 2, true) // which another device has now
		synctest.Wait()
		want(t, w, "192.168.7.30", first+" phone dhcp")
		want(t, w, "192.168.7.20", second+"  ")
		if k.lists != 1 {
			t.Errorf("the table was listed %d times", k.lists)
		}
		k.tells <- []news{{addr: netip.MustParseAddr("192.168.7.20"), link: link{index: 1}, gone: true}}
		delete(k.links, netip.MustParseAddr("192.168.7.20"))
		synctest.Wait()
		want(t, w, "192.168.7.20", "found  phone dhcp") // by the lease alone
	})
}

// TestWatchLosses: what the kernel could not tell is read from its table.
func TestWatchLosses(t *testing.T) {
	bed(t, Options{}, nil, func(w *Watch, k *fakeKernel, _ string) {
		k.put("192.168.7.20", 1, false)
		want(t, w, "192.168.7.20", "found "+first+"  ")
		k.put("192.168.7.20", 2, false)
		want(t, w, "192.168.7.20", first+"  ")
		k.tells <- nil
		synctest.Wait()
		want(t, w, "192.168.7.20", "found "+second+"  ")
		want(t, w, "192.168.7.20", second+"  ")
	})
}

// TestWatchStrangers: who is on no network of this host's is not asked for again and again.
func TestWatchStrangers(t *testing.T) {
	bed(t, Options{}, nil, func(w *Watch, k *fakeKernel, _ string) {
		want(t, w, "10.1.2.3", "found nobody")
		for range 100 {
			want(t, w, "10.1.2.3", "nobody")
		}
		began := time.Now()
		for i := range 100 {
			want(t, w, fmt.Sprintf("10.1.3.%d", i), "found nobody")
		}
		if d := time.Since(began); k.lists > 102 || d < 99*listEvery {
			t.Errorf("%d lists in %v", k.lists, d)
		}
		k.put("10.1.2.3", 1, true)
		synctest.Wait()
		time.Sleep(filesEvery)
		want(t, w, "10.1.2.3", "found "+first+"  ")
	})
}

// TestWatchUntold: where the kernel tells nothing its table is read again.
func TestWatchUntold(t *testing.T) {
	bed(t, Options{}, nil, func(w *Watch, k *fakeKernel, _ string) {
		w.told = false
		k.put("192.168.7.20", 1, false)
		want(t, w, "192.168.7.20", "found "+first+"  ")
		k.put("192.168.7.20", 2, false)
		time.Sleep(filesEvery)
		want(t, w, "192.168.7.20", "found "+second+"  ")
	})
}

// TestWatchFiles: leases that are written while it runs.
func TestWatchFiles(t *testing.T) {
	bed(t, Options{Sources: Sources{Leases: true}}, nil, func(w *Watch, k *fakeKernel, leases string) {
		k.put("192.168.7.20", 1, false)
		want(t, w, "192.168.7.20", "found "+first+"  ")
		write(t, leases, "0 "+first+" 192.168.7.20 phone *\n")
		want(t, w, "192.168.7.20", first+"  ")
		time.Sleep(filesEvery)
		want(t, w, "192.168.7.20", "found "+first+" phone dhcp")
		if err := os.Rename(leases, leases+".old"); err != nil { // and a new one in its place
			t.Fatal(err)
		}
		write(t, leases, "0 "+first+" 192.168.7.20 tablet *\n")
		time.Sleep(filesEvery)
		want(t, w, "192.168.7.20", "found "+first+" tablet dhcp")
		if err := os.Remove(leases); err != nil {
			t.Fatal(err)
		}
		time.Sleep(filesEvery)
		want(t, w, "192.168.7.20", "found "+first+"  ")
	})
}

// TestWatchResolver asks for private addresses of neighbours alone, once.
func TestWatchResolver(t *testing.T) {
	r := &fakeResolver{after: time.Second / 10, names: map[string]string{
		"192.168.7.20": "phone.lan.", "192.168.7.22": "!", "192.168.7.23": "late.lan.", "10.1.2.3": "far.lan.",
	}}
	bed(t, Options{Sources: Sources{DNS: true}}, r, func(w *Watch, k *fakeKernel, _ string) {
		for i, a := range []string{"192.168.7.20", "192.168.7.21", "192.168.7.22", "192.168.7.23", "203.0.113.9"} {
			k.put(a, byte(i+1), false)
		}
		k.put("2001:db8::20", 1, false)
		want(t, w, "2001:db8::20", "found "+first+" phone.lan dns")
		want(t, w, "192.168.7.20", first+" phone.lan dns")
		want(t, w, "192.168.7.21", "found "+second+"  ")
		want(t, w, "192.168.7.21", second+"  ")
		want(t, w, "203.0.113.9", "02:00:5e:10:00:05  ")
		want(t, w, "10.1.2.3", "found nobody")
		want(t, w, "192.168.7.22", "found 02:00:5e:10:00:03  ")
		want(t, w, "192.168.7.23", "found 02:00:5e:10:00:04  ") // nobody is asked for a while
		if got, want := fmt.Sprint(r.asked), "[192.168.7.20 192.168.7.21 192.168.7.22]"; got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
		time.Sleep(restFor)
		want(t, w, "192.168.7.23", "found 02:00:5e:10:00:04 late.lan dns")
		time.Sleep(namedFor)
		want(t, w, "192.168.7.20", "found "+first+" phone.lan dns")
	})
}

// TestWatchSlowResolver: an answer that takes too long is none, and all who wait get it.
func TestWatchSlowResolver(t *testing.T) {
	r := &fakeResolver{after: time.Hour}
	bed(t, Options{Sources: Sources{DNS: true}}, r, func(w *Watch, k *fakeKernel, _ string) {
		k.put("192.168.7.20", 1, false)
		began, answers := time.Now(), make(chan *flow.Device, 3)
		for range cap(answers) {
			w.Ask(netip.MustParseAddr("192.168.7.20"), func(d *flow.Device) { answers <- d })
		}
		for range cap(answers) {
			if d := <-answers; d == nil || d.MAC != first {
				t.Errorf("%+v", d)
			}
		}
		if d := time.Since(began); d != lookupMost || len(r.asked) != 1 {
			t.Errorf("answered after %v, asked for %q", d, r.asked)
		}
	})
}

// TestWatchFlood: of too many who ask the youngest go without, and the end answers all.
func TestWatchFlood(t *testing.T) {
	r := &fakeResolver{after: time.Hour}
	bed(t, Options{Sources: Sources{DNS: true}}, r, func(w *Watch, k *fakeKernel, _ string) {
		answers := 0
		var mu sync.Mutex
		for i := range 3 * asksMost {
			a := netip.AddrFrom4([4]byte{192, 168, byte(i >> 8), byte(i)})
			k.put(a.String(), byte(i), false)
			w.Ask(a, func(*flow.Device) {
				mu.Lock()
				answers++
				mu.Unlock()
			})
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if answers != 3*asksMost {
			t.Errorf("%d answers to %d", answers, 3*asksMost)
		}
	})
}

// TestTable stays within its bounds, and what it has fits together.
func TestTable(t *testing.T) {
	tab := newTable()
	for i := range 3 * addressesMost {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		tab.take(news{addr: a, link: link{mac: mac{2, 0, 0, 0, byte(i >> 10), byte(i >> 2)}, index: 1 + i%2}})
	}
	for i := range 100 {
		tab.take(news{addr: netip.AddrFrom16([16]byte{0xfd, 15: byte(i)}), link: link{mac: mac{2, 9, 9, 9, 9, 9}, index: 1}})
	}
	if len(tab.links) > addressesMost || len(tab.devices) > devicesMost {
		t.Errorf("%d addresses of %d devices", len(tab.links), len(tab.devices))
	}
	n := 0
	for m, addrs := range tab.devices {
		n += len(addrs)
		if len(addrs) == 0 || len(addrs) > ofOneMost {
			t.Errorf("%d addresses of %v", len(addrs), m)
		}
		for _, a := range addrs {
			if tab.links[a].mac != m {
				t.Errorf("%v is %v's, not %v's", a, tab.links[a].mac, m)
			}
		}
	}
	if n != len(tab.links) {
		t.Errorf("%d addresses, and %d of devices", len(tab.links), n)
	}
	tab.replace(nil)
	if len(tab.links)+len(tab.devices) > 0 {
		t.Errorf("left are %v, %v", tab.links, tab.devices)
	}
}

// TestTableTwoLinks: an address is where the kernel has reached it.
func TestTableTwoLinks(t *testing.T) {
	tab, a := newTable(), netip.MustParseAddr("192.168.7.20")
	one, two := link{mac{2, 1}, 1, true}, link{mac{2, 2}, 2, false}
	tab.take(news{addr: a, link: one})
	tab.take(news{addr: a, link: two})
	if tab.links[a] != one {
		t.Errorf("%+v", tab.links[a])
	}
	tab.take(news{addr: a, link: link{index: 2}, gone: true})
	if tab.links[a] != one {
		t.Errorf("%+v", tab.links[a])
	}
	two.sure = true
	tab.take(news{addr: a, link: two})
	if tab.links[a] != two {
		t.Errorf("%+v", tab.links[a])
	}
}

// TestBest: what stands written is believed before what was heard, and that before what
// the resolver says.
func TestBest(t *testing.T) {
	a, far := netip.MustParseAddr("192.168.7.20"), now.Add(time.Hour)
	m, other := mac{2, 1}, mac{2, 2}
	k := known{
		written: written{map[mac]string{m: "leased"}, map[netip.Addr]lease{a: {a, m, "leased"}}, map[netip.Addr]string{a: "listed"}},
		heard:   remembered{a: {"heard", far}}, looked: remembered{a: {"looked", far}},
	}
	check := func(m mac, on bool, want name) {
		t.Helper()
		if n, _ := k.best(m, on, []netip.Addr{a}, now); n != want {
			t.Errorf("%+v, want %+v", n, want)
		}
	}
	check(m, true, name{"leased", byDHCP})
	check(mac{}, false, name{"leased", byDHCP}) // behind another router
	check(other, true, name{"listed", byHosts}) // who uses somebody else's address
	k.written = written{}
	check(mac{}, false, name{})
	check(m, true, name{"heard", byMDNS})
	k.heard = remembered{a: {"heard", now}}
	check(m, true, name{"looked", byDNS})
}

// TestOpenFiles: files that anybody may have laid.
func TestOpenFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write(t, path("file"), "x")
	if err := os.Symlink(path("file"), path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	check := func(name string, want bool) {
		t.Helper()
		f, err := open(path(name))
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			f.Close()
		}
	}
	check("link", true)
	check("dir", false)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	check("link", false)
	check("file", uint32(os.Getuid()) < systemUIDs())
}
