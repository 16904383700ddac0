package neighbour

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	mdl "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/flow"
	"transom/internal/testnet/labtest"
	"transom/platform/lab"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// watch is one on a host, that ends with the test.
func watch(t *testing.T, h *lab.Host, o Options) (w *Watch) {
	t.Helper()
	err := h.Do(func() (err error) {
		w, err = Open(o)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// hardware is an interface's address.
func hardware(t *testing.T, h *lab.Host, name string) (mac string) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			mac = ifi.HardwareAddr.String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mac
}

// talk has the client open connections to the gateway, from each of its addresses.
func talk(t *testing.T, n *lab.Net) {
	t.Helper()
	for _, a := range []string{lab.LANAddr4, lab.LANAddr6} {
		l, err := n.Gateway.Listen(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(a), 0))
		if err != nil {
			t.Fatal(err)
		}
		c, err := n.Client.Dial(t.Context(), netip.MustParseAddrPort(l.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()
	}
}

// TestKernel: a client's addresses of both families are one device, in the kernel's own
// table; and a device that takes another's address over has it.
func TestKernel(t *testing.T) {
	n := labtest.Gateway(t)
	talk(t, n)
	w := watch(t, n.Gateway, Options{})
	mac := hardware(t, n.Client, "eth0")
	want(t, w, lab.ClientAddr4, "found "+mac+"  ")
	want(t, w, lab.ClientAddr6, mac+"  ")
	a, _ := w.Known(netip.MustParseAddr(lab.ClientAddr4))
	if b, _ := w.Known(netip.MustParseAddr(lab.ClientAddr6)); a != b || a == nil {
		t.Errorf("%+v and %+v are one device", a, b)
	}
	want(t, w, lab.LANAddr4, "found nobody")

	neighbours(t, n.Gateway, "lan0", "192.168.1.77", "02:00:5e:10:00:07", netlink.NeighSet)
	sees(t, w, "192.168.1.77", "02:00:5e:10:00:07")
	neighbours(t, n.Gateway, "lan0", "192.168.1.77", "02:00:5e:10:00:08", netlink.NeighSet)
	sees(t, w, "192.168.1.77", "02:00:5e:10:00:08")
	neighbours(t, n.Gateway, "lan0", "192.168.1.77", "02:00:5e:10:00:08", netlink.NeighDel)
	sees(t, w, "192.168.1.77", "")
}

// neighbours changes the table of a host.
func neighbours(t *testing.T, h *lab.Host, iface, addr, mac string, change func(*netlink.Neigh) error) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		hw, err := net.ParseMAC(mac)
		if err != nil {
			return err
		}
		return change(&netlink.Neigh{LinkIndex: ifi.Index, IP: net.ParseIP(addr), HardwareAddr: hw, State: netlink.NUD_REACHABLE})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sees waits until an address is a device's, or nobody's.
func sees(t *testing.T, w *Watch, addr, mac string) {
	t.Helper()
	end := time.Now().Add(2 * time.Minute)
	for {
		answer := make(chan *flow.Device, 1)
		d, known := w.Known(netip.MustParseAddr(addr))
		if !known {
			w.Ask(netip.MustParseAddr(addr), func(d *flow.Device) { answer <- d })
			d = <-answer
		}
		if d == nil && mac == "" || d != nil && d.MAC == mac {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is %+v, want %q", addr, d, mac)
		}
	}
}

// TestKernelOverflow: more changes than the socket holds, after which the table is listed
// again.
func TestKernelOverflow(t *testing.T) {
	n := labtest.Gateway(t)
	var k *kernel
	err := n.Gateway.Do(func() (err error) {
		if k, err = openKernel(); err == nil {
			err = k.changes.SetReadBuffer(1) // the least there is
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for i := range 200 {
		neighbours(t, n.Gateway, "lan0", fmt.Sprintf("192.168.1.%d", 10+i), "02:00:5e:10:00:07", netlink.NeighSet)
	}
	lost := false
	for !lost {
		if _, lost, err = k.next(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := k.list()
	found := 0
	for _, one := range all {
		if one.mac == (mac{2, 0, 0x5e, 0x10, 0, 7}) && one.sure && !one.gone {
			found++
		}
	}
	if err != nil || found != 200 {
		t.Errorf("%d of 200 are listed: %v", found, err)
	}
}

// TestKernelCloses: nobody waits for news any more.
func TestKernelCloses(t *testing.T) {
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			if _, _, err := k.next(); err != nil {
				ended <- err
				return
			}
		}
	}()
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; errors.Is(err, unix.ENOBUFS) {
		t.Error(err)
	}
}

// TestMDNS: the gateway hears what the client announces, and asks nothing.
func TestMDNS(t *testing.T) {
	n := labtest.Gateway(t)
	talk(t, n)
	w := watch(t, n.Gateway, Options{Sources: Sources{MDNS: true}, Interfaces: []string{"lan0", "nowhere0"}})
	if len(w.heard) != 2 {
		t.Fatalf("%d sockets hear", len(w.heard))
	}
	mac := hardware(t, n.Client, "eth0")
	want(t, w, lab.ClientAddr4, "found "+mac+"  ")
	announce(t, n.Client, lab.ClientAddr4, map[string]string{"Router.local.": lab.LANAddr4})
	announce(t, n.Client, lab.ClientAddr4, map[string]string{"Phone.local.": lab.ClientAddr4})
	end := time.Now().Add(2 * time.Minute)
	for who(w, lab.ClientAddr4) != mac+" Phone.local mdns" {
		if time.Now().After(end) {
			t.Fatalf("%s", who(w, lab.ClientAddr4))
		}
	}
	want(t, w, lab.ClientAddr6, mac+" Phone.local mdns") // as it is one device
}

// announce sends an announcement from an address of the host's.
func announce(t *testing.T, h *lab.Host, from string, names map[string]string) {
	t.Helper()
	b := announcement(t, true, 120, names)
	err := h.Do(func() error {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from), Port: mdnsPort})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.WriteToUDP(b, &net.UDPAddr{IP: group4[:], Port: mdnsPort})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzParse reads whatever comes from the kernel.
func FuzzParse(f *testing.F) {
	head := []byte{unix.AF_INET, 0, 0, 0, 2, 0, 0, 0, unix.NUD_REACHABLE, 0, 0, 1}
	attrs, err := mdl.MarshalAttributes([]mdl.Attribute{{Type: unix.NDA_DST, Data: []byte{192, 168, 1, 2}}, {Type: unix.NDA_LLADDR, Data: []byte{2, 0, 0x5e, 0x10, 0, 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint16(unix.RTM_NEWNEIGH), append(head, attrs...))
	f.Add(uint16(unix.RTM_DELNEIGH), append(head, attrs...))
	f.Add(uint16(unix.RTM_NEWNEIGH), head)
	f.Fuzz(func(t *testing.T, kind uint16, b []byte) {
		n, ok := parse(mdl.HeaderType(kind), b)
		if ok && (!n.addr.IsValid() || n.addr.Is4In6() || n.gone == n.mac.one()) {
			t.Errorf("%+v", n)
		}
	})
}
