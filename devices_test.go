package transom_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/flow"
	"transom/internal/testnet"
)

// A directory knows the device of every client, at once or after a while.
type directory struct {
	after time.Duration // 0 is at once, negative never
	none  bool          // nobody knows it
	asked []string
}

var phone = &flow.Device{MAC: "02:00:5e:10:00:01", Name: "phone", NamedBy: "dhcp"}

func (d *directory) device() *flow.Device {
	if d.none {
		return nil
	}
	return phone
}

func (d *directory) Known(netip.Addr) (*flow.Device, bool) {
	if d.after == 0 {
		return d.device(), true
	}
	return nil, false
}

func (d *directory) Ask(client netip.Addr, to func(*flow.Device)) {
	d.asked = append(d.asked, client.String())
	if d.after > 0 {
		time.AfterFunc(d.after, func() { to(d.device()) })
	}
}

// TestDevices has one request made by a device that is known sooner or later. The traffic
// is over at once.
func TestDevices(t *testing.T) {
	for name, tc := range map[string]struct {
		*directory
		known     bool          // at the end
		asks      bool          // it has to be found out
		published time.Duration // when the last flow is
	}{
		"at-once":         {&directory{}, true, false, 0},
		"nobody":          {&directory{none: true}, false, false, 0},
		"late":            {&directory{after: time.Second / 10}, true, true, time.Second / 10},
		"late-and-nobody": {&directory{after: time.Second / 10, none: true}, false, true, time.Second / 10},
		"too-late":        {&directory{after: 2 * time.Second}, false, true, time.Second},
		"never":           {&directory{after: -1}, false, true, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *transom.Proxy) { p.Devices = tc.directory }, func(w *world) {
				w.net.Handle(serverAddr, func(c *testnet.Conn) { new(origin).answer("HTTP/1.1 204 No\r\n\r\n")(c) })
				began := time.Now()
				c := w.dial(serverAddr)
				w.say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
				c.Close()
				synctest.Wait()
				if waited := time.Since(began); waited != 0 {
					t.Errorf("the client has waited for %v", waited)
				}
				w.end()
				if waited := time.Since(began); waited != tc.published {
					t.Errorf("all was published after %v, want %v", waited, tc.published)
				}
				for _, kind := range []string{"http", "conn"} {
					if f := w.only(kind); (f.Conn.Device == phone) != tc.known {
						t.Errorf("%s: %+v", kind, f.Conn.Device)
					}
				}
				if asked := []string{clientAddr.Addr().String()}; tc.asks && !slices.Equal(tc.asked, asked) || !tc.asks && len(tc.asked) > 0 {
					t.Errorf("asked %q", tc.asked)
				}
			})
		})
	}
}

// TestDevicesHere: nobody asks which device a program of this host is.
func TestDevicesHere(t *testing.T) {
	d := &directory{after: -1}
	inWorld(t, func(p *transom.Proxy) { p.Owners, p.Devices = new(registry), d }, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		c := w.src.InjectUDP(clientAddr, udpServer)
		w.say(c, "a")
		w.hear(c, "re: a")
		c.Close()
		time.Sleep(time.Hour)
		if f := w.only("udp"); f.Conn.Process != program || f.Conn.Device != nil || len(d.asked) > 0 {
			t.Errorf("%+v, asked %q", f.Conn, d.asked)
		}
	})
}
