package neighbour

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// now is when leases are read in these tests: 2031-03-06 12:00.
var now = time.Unix(1930564800, 0)

// formats is a table of all of them, with what a server has written and what is read.
var formats = []struct {
	name   string
	format format
	text   string
	want   []string
}{
	{"dnsmasq", dnsmasq, `1930568400 02:00:5e:10:00:01 192.168.7.20 phone 01:02:00:5e:10:00:01
0 02:00:5e:10:00:02 192.168.7.21 * *
1930568400 06-02:00:5e:10:00:03 192.168.7.22 tv ff:00
1930568400 20-02:00:5e:10:00:03:07:08 192.168.7.23 odd *
nonsense
1930568400 02:00:5e:10:00:04 192.168.7.999 bad *
duid 00:01:00:01:2a
1930568400 17842 fd00::20 phone 00:01:00:01:2a
`, []string{"192.168.7.20 02:00:5e:10:00:01 phone", "192.168.7.22 02:00:5e:10:00:03 tv", "192.168.7.23 - odd", "fd00::20 - phone"}},
	{"dhcpd", dhcpd, `# all times are UTC
lease 192.168.7.20 {
  starts 4 2031/03/06 11:00:00;
  ends 4 2031/03/06 13:00:00;
  binding state active;
  next binding state free;
  hardware ethernet 02:00:5e:10:00:01;
  uid "\001\002\000^\020\000\001";
  client-hostname "old";
}
lease 192.168.7.20 {
  ends 4 2031/03/06 13:00:00;
  binding state active;
  hardware ethernet 02:00:5e:10:00:01;
  client-hostname "alice\047s \"phone\"";
}
lease 192.168.7.21 {
  ends 4 2031/03/06 11:59:00;
  binding state active;
  hardware ethernet 02:00:5e:10:00:02;
  client-hostname "over";
}
lease 192.168.7.22 {
  ends never;
  binding state free;
  client-hostname "free";
}
lease 192.168.7.23 {
	ends epoch 1930568400; # Thu
	hardware ethernet 2:0:5E:10:0:3;
	client-hostname "openbsd";
}
lease 192.168.7.24 {
	hardware ethernet 02:00:5e:10:00:05;
	client-hostname "cut`, []string{`192.168.7.20 02:00:5e:10:00:01 alice's "phone"`, "192.168.7.23 02:00:5e:10:00:03 openbsd"}},
	{"apple", apple, `{
	name=phone
	ip_address=192.168.2.2
	hw_address=1,2:0:5e:10:0:1
	identifier=1,2:0:5e:10:0:1
	lease=0x731222d0
}
{
	name=over
	ip_address=192.168.2.3
	hw_address=1,2:0:5e:10:0:2
	lease=0x61000000
}
`, []string{"192.168.2.2 02:00:5e:10:00:01 phone"}},
	{"kea4", kea, `address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id
192.168.7.20,02:00:5e:10:00:01,01:02,3600,1930568400,1,0,0,old,0,,0
192.168.7.20,02:00:5e:10:00:01,01:02,3600,1930568400,1,0,0,phone&#x2c one.lan.,0,,0
192.168.7.21,02:00:5e:10:00:02,,3600,1930000000,1,0,0,over,0,,0
192.168.7.22,02:00:5e:10:00:03,,3600,1930568400,1,0,0,declined,1,,0
192.168.7.23,02:00:5e:10:00:04,,3600,1930568400,1,0,0,released,0,,0
192.168.7.23,02:00:5e:10:00:04,,0,1930600000,1,0,0,released,2,,0
`, []string{"192.168.7.20 02:00:5e:10:00:01 phone, one.lan"}},
	{"kea6", kea, `address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id
fd00::20,00:01,3600,1930568400,1,3000,0,1,128,0,0,phone.lan.,02:00:5e:10:00:01,0,,1,0,0
`, []string{"fd00::20 02:00:5e:10:00:01 phone.lan"}},
	{"kea-quote", kea, "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n192.168.7.20,02:00:5e:10:00:01,,3600,1930568400,1,0,0,\"evil,0\n192.168.7.21,02:00:5e:10:00:02,,3600,1930568400,1,0,0,last,0\n", []string{"192.168.7.20 02:00:5e:10:00:01 \"evil", "192.168.7.21 02:00:5e:10:00:02 last"}},
	{"kea-end", kea, "192.168.7.20,02:00:5e:10:00:01,01:02,3600,1930568400,1,0,0,phone,0,,0\n", []string{"192.168.7.20 02:00:5e:10:00:01 phone"}},
	{"networkd", networkd, `[{"ClientId":[1,2,0,94,16,0,1],"Address":[192,168,7,20],"Hostname":"phone","ExpirationUSec":1},
		{"ClientId":[255,1,2],"Address":[192,168,7,21],"Hostname":"laptop"},{"ClientId":[1],"Address":[192,168,7,22]},
		{"ClientId":[1],"Address":[192,168,7,999],"Hostname":"bad"}]`, []string{"192.168.7.20 02:00:5e:10:00:01 phone", "192.168.7.21 - laptop"}},
	{"networkd-later", networkd, `{"BootID":"0","Address":[192,168,7,1],"PrefixLength":24,"Leases":[
		{"ClientId":[255,1,2],"Address":[192,168,7,20],"Hostname":"phone","HardwareAddress":[2,0,94,16,0,1]}]}`, []string{"192.168.7.20 02:00:5e:10:00:01 phone"}},
	{"libvirt", libvirt, `[{"ip-address":"192.168.122.20","mac-address":"52:54:00:10:00:01","hostname":"vm","client-id":"ff","expiry-time":1930568400},
		{"ip-address":"192.168.122.21","mac-address":"52:54:00:10:00:02","hostname":"over","expiry-time":1930000000}]`, []string{"192.168.122.20 52:54:00:10:00:01 vm"}},
	{"hosts", hosts, "127.0.0.1 localhost\n::1 localhost # here\n192.168.7.20\tprinter.lan printer # in the hall\nfe80::1%eth0 router\nfd00::20 printer6\n#192.168.7.9 no\nff02::1 group\n", []string{"192.168.7.20 - printer.lan", "fd00::20 - printer6"}},
}

func words(all []lease) (out []string) {
	for _, l := range all {
		m := "-"
		if l.mac.one() {
			m = l.mac.String()
		}
		if l.name != "" {
			out = append(out, fmt.Sprintf("%s %s %s", l.addr, m, l.name))
		}
	}
	return out
}

// TestFormats reads what servers write.
func TestFormats(t *testing.T) {
	for _, f := range formats {
		t.Run(f.name, func(t *testing.T) {
			if got, want := strings.Join(words(f.format([]byte(f.text), now)), "\n"), strings.Join(f.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// FuzzFormats: whatever stands in a file, what is read is fit to be shown.
func FuzzFormats(f *testing.F) {
	for i, one := range formats {
		f.Add(i, []byte(one.text))
	}
	f.Fuzz(func(t *testing.T, i int, b []byte) {
		if i < 0 {
			i = ^i
		}
		for _, l := range formats[i%len(formats)].format(b, now) {
			if l.name != clean(l.name) || l.name != "" && (!l.addr.IsValid() || l.addr.Is4In6() || l.addr.Zone() != "") {
				t.Errorf("%+v", l)
			}
			if l.mac != (mac{}) && !l.mac.one() {
				t.Errorf("%v is a group's", l.mac)
			}
		}
	})
}

// TestClean: a name is a device's to choose.
func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		"phone": "phone", "phone.lan.": "phone.lan", "Alices iPhone": "Alices iPhone", "hörnchen": "hörnchen", "*": "", "": "", ".": "",
		"a\x1b[31mb\n\x00": "a[31mb", "\xff\xfea": "a", "\u202egnp": "gnp", " a ": "a", "192.168.7.1": "", "fe80::1": "", "\u200b": "",
		strings.Repeat("é", 100): strings.Repeat("é", nameMost/2), strings.Repeat("x", 1000): strings.Repeat("x", nameMost),
	} {
		if got := clean(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

// TestParseMAC: hardware addresses as files have them.
func TestParseMAC(t *testing.T) {
	for text, want := range map[string]string{
		"02:00:5e:10:00:01": "02:00:5e:10:00:01", "2:0:5E:10:0:1": "02:00:5e:10:00:01", "01:00:5e:00:00:fb": "", "00:00:00:00:00:00": "",
		"02:00:5e:10:00": "", "02:00:5e:10:00:01:02": "", "02:00:5e:10:00:0g": "", "020:0:5e:10:0:1": "", "": "", ":::::": "", "17842": "",
	} {
		m, ok := parseMAC(text)
		if got := m.String(); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v, want %q", text, got, ok, want)
		}
	}
}
