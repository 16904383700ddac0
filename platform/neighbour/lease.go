package neighbour

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// A lease is what a DHCP server has written down: an address, whose it is, if it says, and
// what that device calls itself. What devices have sent stands in these files, so that
// nothing about them is taken for granted.
type lease struct {
	addr netip.Addr // plain
	mac  mac        // zero if it doesn't say
	name string     // clean
}

// leasesMost is how many of one file are kept: the last.
const leasesMost = devicesMost

// A format reads the leases that are in force out of a file, the later ones last.
type format func(b []byte, now time.Time) []lease

// found makes a lease of texts; ok is false for one that says nothing.
func found(addr, hardware, name string) (l lease, ok bool) {
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return l, false
	}
	l.addr, l.name = a.Unmap(), clean(name)
	l.mac, _ = parseMAC(hardware)
	return l, l.name != ""
}

// dnsmasq reads lines of "expiry hardware address name client-id". Those of DHCPv6, behind
// a line "duid …", have a number in place of hardware. Leases that are over are not in it;
// expiries may be of a clock that was never set, and say nothing.
func dnsmasq(b []byte, _ time.Time) (all []lease) {
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) < 4 {
			continue
		}
		hardware := f[1]
		if kind, rest, ok := strings.Cut(hardware, "-"); ok && (kind == "01" || kind == "06") { // Ethernet, and what is like it
			hardware = rest
		}
		if l, ok := found(f[2], hardware, f[3]); ok {
			all = append(all, l)
		}
	}
	return all
}

// dhcpd reads what the ISC's server, and OpenBSD's, write: "lease ADDRESS { … }", again
// and again, of which the last holds. macOS's has no address in front of the brace.
func dhcpd(b []byte, now time.Time) (all []lease) {
	at := map[string]int{}
	var addr, hardware, name string
	within, over := false, false
	for line := range bytes.Lines(b) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		value = strings.TrimSuffix(strings.TrimSpace(value), ";")
		switch {
		case key == "lease":
			addr, hardware, name, within, over = strings.TrimSuffix(value, " {"), "", "", true, false
		case !within:
		case key == "hardware":
			hardware = strings.TrimPrefix(value, "ethernet ")
		case key == "client-hostname":
			name = unquote(value)
		case key == "binding":
			over = over || value != "state active"
		case key == "ends":
			over = over || ended(value, now)
		case key == "abandoned;":
			over = true
		case strings.HasPrefix(key, "}"):
			within = false
			l, ok := found(addr, hardware, name)
			if i, again := at[addr]; again {
				all[i] = lease{}
			}
			delete(at, addr)
			if ok && !over {
				at[addr] = len(all)
				all = append(all, l)
			}
		}
	}
	return all
}

// ended reads "4 2031/03/06 12:00:00", in UTC, or "epoch 1900000000"; "never" is neither.
func ended(text string, now time.Time) bool {
	f := strings.Fields(text)
	switch {
	case len(f) >= 2 && f[0] == "epoch":
		sec, err := strconv.ParseInt(f[1], 10, 64)
		return err == nil && time.Unix(sec, 0).Before(now)
	case len(f) >= 3:
		t, err := time.Parse("2006/01/02 15:04:05", f[1]+" "+f[2])
		return err == nil && t.Before(now)
	}
	return false
}

// unquote reads a string in which octets may stand as \ and three octal digits.
func unquote(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`)
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if i+3 < len(s) {
				if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
					b = append(b, byte(n))
					i += 3
					continue
				}
			}
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// apple reads what macOS's bootpd writes when it shares a connection: "{", lines of
// key=value, "}".
func apple(b []byte, now time.Time) (all []lease) {
	var addr, hardware, name string
	over := false
	for line := range bytes.Lines(b) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		switch key {
		case "{":
			addr, hardware, name, over = "", "", "", false
		case "ip_address":
			addr = value
		case "name":
			name = value
		case "hw_address":
			hardware = strings.TrimPrefix(value, "1,")
		case "lease":
			sec, err := strconv.ParseInt(value, 0, 64)
			over = err == nil && time.Unix(sec, 0).Before(now)
		case "}":
			if l, ok := found(addr, hardware, name); ok && !over {
				all = append(all, l)
			}
		}
	}
	return all
}

// kea reads CSV whose first line names the columns, of either family. The last line of an
// address holds. Commas in names are written as &#x2c, and quotes are letters like others.
func kea(b []byte, now time.Time) (all []lease) {
	column, at := map[string]int{}, map[string]int{}
	for line := range bytes.Lines(b) {
		rec := strings.Split(strings.TrimRight(string(line), "\r\n"), ",")
		if len(column) == 0 || rec[0] == "address" { // the file may be one's end alone
			for i, name := range keaColumns(rec) {
				column[name] = i
			}
			if rec[0] == "address" {
				continue
			}
		}
		get := func(name string) string {
			if i, ok := column[name]; ok && i < len(rec) {
				return rec[i]
			}
			return ""
		}
		addr := get("address")
		l, ok := found(addr, get("hwaddr"), strings.ReplaceAll(get("hostname"), "&#x2c", ","))
		expire, err := strconv.ParseInt(get("expire"), 10, 64)
		ok = ok && get("state") == "0" && (err != nil || !time.Unix(expire, 0).Before(now))
		if i, again := at[addr]; again {
			all[i] = lease{}
		}
		delete(at, addr)
		if ok {
			at[addr] = len(all)
			all = append(all, l)
		}
	}
	return all
}

// keaColumns are those that a line names, or has if it names none.
func keaColumns(line []string) []string {
	switch {
	case line[0] == "address":
		return line
	case strings.Contains(line[0], ":"):
		return strings.Split("address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state", ",")
	}
	return strings.Split("address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state", ",")
}

// networkd reads what systemd-networkd keeps of its own server: a list of leases, in later
// versions within an object.
func networkd(b []byte, _ time.Time) (all []lease) {
	type entry struct {
		ClientID []int  `json:"ClientId"`
		Address  []int  `json:"Address"`
		Hostname string `json:"Hostname"`
		Hardware []int  `json:"HardwareAddress"`
	}
	var list []entry
	if json.Unmarshal(b, &list) != nil {
		var within struct{ Leases []entry }
		if json.Unmarshal(b, &within) != nil {
			return nil
		}
		list = within.Leases
	}
	for i := range list {
		e := &list[i]
		a, ok := netip.AddrFromSlice(octets(e.Address))
		l := lease{addr: a.Unmap(), name: clean(e.Hostname)}
		if !ok || l.name == "" {
			continue
		}
		if len(e.ClientID) == 7 && e.ClientID[0] == 1 { // the default: a type, Ethernet, and the address
			l.mac, _ = macOf(octets(e.ClientID[1:]))
		}
		if m, ok := macOf(octets(e.Hardware)); ok {
			l.mac = m
		}
		all = append(all, l)
	}
	return all
}

// octets is nil if there is anything else among them.
func octets(ns []int) []byte {
	b := make([]byte, 0, 16)
	for _, n := range ns {
		if n < 0 || n > 255 || len(b) == cap(b) {
			return nil
		}
		b = append(b, byte(n))
	}
	return b
}

// libvirt reads what libvirt keeps of the machines on its networks.
func libvirt(b []byte, now time.Time) (all []lease) {
	var list []struct {
		Address  string `json:"ip-address"`
		Hardware string `json:"mac-address"`
		Hostname string `json:"hostname"`
		Expiry   int64  `json:"expiry-time"`
	}
	if json.Unmarshal(b, &list) != nil {
		return nil
	}
	for _, e := range list {
		if l, ok := found(e.Address, e.Hardware, e.Hostname); ok && (e.Expiry == 0 || !time.Unix(e.Expiry, 0).Before(now)) {
			all = append(all, l)
		}
	}
	return all
}

// hosts reads /etc/hosts: an address, and its names, of which the first is taken.
func hosts(b []byte, _ time.Time) (all []lease) {
	for line := range bytes.Lines(b) {
		text, _, _ := strings.Cut(string(line), "#")
		if f := strings.Fields(text); len(f) >= 2 {
			if l, ok := found(f[0], "", f[1]); ok && !l.addr.IsLoopback() && !l.addr.IsMulticast() {
				all = append(all, l)
			}
		}
	}
	return all
}
