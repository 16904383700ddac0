package neighbour

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// announcement is a message with address records.
func announcement(t testing.TB, response bool, ttl uint32, names map[string]string) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{Response: response, Authoritative: true}}
	service := dnsmessage.MustNewName("_airplay._tcp.local.")
	m.Answers = append(m.Answers, dnsmessage.Resource{
		Header: dnsmessage.ResourceHeader{Name: service, Class: dnsmessage.ClassINET, TTL: ttl},
		Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName("Hall._airplay._tcp.local.")},
	})
	for name, addr := range names {
		a := netip.MustParseAddr(addr)
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET | 1<<15, TTL: ttl}
		var body dnsmessage.ResourceBody = &dnsmessage.AAAAResource{AAAA: a.As16()}
		if a.Is4() {
			body = &dnsmessage.AResource{A: a.As4()}
		}
		m.Additionals = append(m.Additionals, dnsmessage.Resource{Header: h, Body: body})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestAnnounced: a device names itself, and nobody else.
func TestAnnounced(t *testing.T) {
	four, six := "192.168.7.20", "fe80::20"
	names := map[string]string{"Phone.local.": four, "Phone.LOCAL.": six, "Router.local.": "192.168.7.1"}
	for name, tc := range map[string]struct {
		b    []byte
		from string
		want string
		ttl  time.Duration
	}{
		"four":     {announcement(t, true, 120, names), four, "Phone.local", 2 * time.Minute},
		"six":      {announcement(t, true, 120, names), six, "Phone.LOCAL", 2 * time.Minute},
		"other":    {announcement(t, true, 120, names), "192.168.7.21", "", 0},
		"question": {announcement(t, false, 120, names), four, "", 0},
		"goodbye":  {announcement(t, true, 0, names), four, "Phone.local", 0},
		"long":     {announcement(t, true, 1<<31, names), four, "Phone.local", heardMost},
		"foreign":  {announcement(t, true, 120, map[string]string{"www.example.": four}), four, "", 0},
		"cut":      {announcement(t, true, 120, names)[:60], four, "", 0},
		"nothing":  {nil, four, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			text, ttl, ok := announced(tc.b, netip.MustParseAddr(tc.from))
			if text != tc.want || ttl != tc.ttl || ok != (tc.want != "") {
				t.Errorf("%q for %v, %v", text, ttl, ok)
			}
		})
	}
}

// FuzzAnnounced reads whatever comes.
func FuzzAnnounced(f *testing.F) {
	f.Add(announcement(f, true, 120, map[string]string{"Phone.local.": "192.168.7.20"}))
	f.Add(announcement(f, true, 0, map[string]string{"a\x1b.local.": "192.168.7.20", "b.local.": "fd00::1"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, ttl, ok := announced(b, netip.MustParseAddr("192.168.7.20"))
		if text != clean(text) || ttl < 0 || ttl > heardMost || ok != (text != "") {
			t.Errorf("%q for %v, %v", text, ttl, ok)
		}
	})
}

func TestRation(t *testing.T) {
	r, at := ration{most: 2}, now
	for i, want := range []bool{true, true, false, false} {
		if got := r.pass(at); got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if !r.pass(at.Add(time.Second)) {
		t.Error("nothing passes a second later")
	}
}
