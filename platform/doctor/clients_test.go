package doctor_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transom/platform/doctor"
)

func TestClients(t *testing.T) {
	at := time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)
	phone, here := netip.MustParseAddr("192.168.1.23"), netip.MustParseAddr("192.168.1.1")
	for _, c := range []struct {
		name    string
		clients *doctor.Clients
		want    string
	}{
		{"no transom runs", nil, ""},
		{"may not ask", &doctor.Clients{Err: errors.New("it is not yours")}, "note: whether clients have refused the certificate could not be asked: it is not yours; ; \n"},
		{"none", &doctor.Clients{}, "ok: no client has refused the certificate, of those that are recorded; ; \n"},
		{
			"a device",
			&doctor.Clients{Refusals: []doctor.Refusal{{Client: phone, Name: "phone", Count: 3, Last: at, Host: "shop.test"}}},
			"warning: phone (192.168.1.23) has refused the certificate 3 times, the last one for shop.test at 15:04:05; it does not trust the authority, or trusts an earlier one: install the certificate on it; \n",
		},
		{
			"a program of a device, a program, and more",
			&doctor.Clients{More: true, Refusals: []doctor.Refusal{
				{Client: phone, Count: 1, Last: at, Host: "bank.test", Trusts: true},
				{Client: here, Name: "node", Local: true, Count: 1, Last: at, Host: "shop.test"},
			}},
			"warning: node (192.168.1.1) has refused the certificate once for shop.test at 15:04:05; a program of this machine, which has its own list of authorities or was started before it was added to; sudo transom ca trust\n" +
				"note: a program of 192.168.1.23 has refused the certificate once for bank.test at 15:04:05; others there trust it: this one has an authority of its own (pinning), and works if it is left alone; sudo transom gateway --ignore-hosts '^bank\\.test:'\n" +
				"note: more clients have refused the certificate; ; transom flows list --filter '~reason certificate'\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			for _, f := range doctor.Examine(&doctor.Machine{Clients: c.clients}) {
				if f.ID == "clients" {
					fmt.Fprintf(&b, "%s: %s; %s; %s\n", f.Level, f.What, f.Why, f.Mend)
				}
			}
			if b.String() != c.want {
				t.Errorf("got\n%swant\n%s", b.String(), c.want)
			}
		})
	}
}
