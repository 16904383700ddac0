package nettest_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"transom/platform/lab"
)

// hardware is the address of a host's interface.
func (w *world) hardware(h *lab.Host, name string) (mac string) {
	w.t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			mac = ifi.HardwareAddr.String()
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return mac
}

// leasing starts a program on the gateway, where /var/lib has a directory of leases that
// has this mode. It returns what writes the lease of the client.
func (w *world) leasing(mode os.FileMode, args ...string) (cmd *lab.Cmd, lease func(name string)) {
	w.t.Helper()
	dir := filepath.Join(w.path("lib"), "misc")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(dir, "dnsmasq.leases")
	mac := w.hardware(w.Client, "eth0")
	lease = func(name string) {
		w.t.Helper()
		text := []byte("0 " + mac + " " + lab.ClientAddr4 + " " + name + " *\n")
		to := file
		if mode&0o005 != 0 { // it is renamed, as others do
			to += ".new"
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(to, file); err != nil {
			w.t.Fatal(err)
		}
	}
	lease("phone")
	if err := os.Chmod(dir, mode); err != nil {
		w.t.Fatal(err)
	}
	args = append([]string{"--mount", "sh", "-euc", `mount --bind "$0" /var/lib; exec "$@"`, w.path("lib")}, args...)
	return w.command(w.Gateway, "unshare", args...), lease
}

// isDevice has the client ask by both families until it is named so.
func (p *transom) isDevice(w *world, mac, name, by string) {
	w.t.Helper()
	for _, f := range families {
		eventually(w.t, "the client to be "+name, func() bool {
			seen := len(p.records())
			w.must(w.Client, "curl", "-sS", "-o", "/dev/null", "http://"+f.host+"/")
			eventually(w.t, "the end of the flow", func() bool { return len(p.records()) > seen })
			for _, r := range p.records()[seen:] {
				if c := r.Client; c.MAC != mac || c.Name != name || c.NamedBy != by {
					return false
				}
			}
			return true
		})
	}
}

// TestGatewayDevices: a client is the device that has its hardware address, by each
// family, and is called what the server of its lease has written, also after rights were
// given up; and what it announces, if that has written nothing.
func TestGatewayDevices(t *testing.T) {
	need(t, "curl", "unshare", "mount")
	for name, mode := range map[string]os.FileMode{"readable": 0o755, "held": 0o700} {
		t.Run(name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.site()
			mac := w.hardware(w.Client, "eth0")
			cmd, lease := w.leasing(mode, append([]string{find("transom")}, w.gatewayArgs("--device-names", "leases,hosts,mdns")...)...)
			g := w.startGateway(cmd)
			g.isDevice(w, mac, "phone", "dhcp")
			lease("tablet")
			g.isDevice(w, mac, "tablet", "dhcp")
			g.stop()
			if log := g.log.String(); strings.Contains(log, "warning") {
				t.Errorf("logged %s", log)
			}
		})
	}
}

// TestGatewayDevicesOff: nothing is looked for, or the hardware address alone.
func TestGatewayDevicesOff(t *testing.T) {
	need(t, "curl", "unshare", "mount")
	for _, off := range []string{"none", "mac"} {
		t.Run(off, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.site()
			mac := ""
			if off == "mac" {
				mac = w.hardware(w.Client, "eth0")
			}
			cmd, _ := w.leasing(0o755, append([]string{find("transom")}, w.gatewayArgs("--device-names", off)...)...)
			w.startGateway(cmd).isDevice(w, mac, "", "")
		})
	}
}

// TestListenDevices: so it is for connections that rules of one's own bring.
func TestListenDevices(t *testing.T) {
	need(t, "curl", "unshare", "mount", "iptables", "ip6tables")
	w := newGatewayWorld(t)
	w.site()
	w.redirect("80")
	cmd, _ := w.leasing(0o755, find("transom"), "listen", "-T", "--json", "--device-names", "leases")
	w.start(cmd).isDevice(w, w.hardware(w.Client, "eth0"), "phone", "dhcp")
}

// TestGatewayDevicesByName: the system's resolver is asked, by who has no rights any more,
// for the client's address of IPv4 alone.
func TestGatewayDevicesByName(t *testing.T) {
	need(t, "curl", "unshare", "mount")
	w := newGatewayWorld(t)
	w.site()
	asked := w.reverse("phone.lan.")
	resolv := w.write("resolv.conf", "nameserver "+lab.ServerAddr4+"\noptions timeout:30\n")
	cmd := w.command(w.Gateway, "unshare", append([]string{
		"--mount", "sh", "-euc", `mount --bind "$0" /etc/resolv.conf; exec "$@"`, resolv, find("transom"),
	}, w.gatewayArgs("--device-names", "leases,dns")...)...)
	w.startGateway(cmd).isDevice(w, w.hardware(w.Client, "eth0"), "phone.lan", "dns")
	for more := true; more; more = len(asked) > 0 { // again, if the first answer took too long
		if name := <-asked; name != "2.1.168.192.in-addr.arpa." {
			t.Errorf("asked for %q", name)
		}
	}
}

// reverse is a name server on the server that knows one name, and says what it was asked.
func (w *world) reverse(name string) <-chan string {
	w.t.Helper()
	var c *net.UDPConn
	err := w.Server.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(lab.ServerAddr4+":53")))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	asked, done := make(chan string, 64), make(chan struct{})
	w.t.Cleanup(func() {
		c.Close()
		<-done
	})
	go func() {
		defer close(done)
		room := make([]byte, 1500)
		for {
			n, from, err := c.ReadFromUDPAddrPort(room)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(room[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			asked <- q.Name.String()
			m.Response, m.Additionals = true, nil
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60},
				Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(name)},
			}}
			if b, err := m.Pack(); err == nil {
				c.WriteToUDPAddrPort(b, from)
			}
		}
	}()
	return asked
}
