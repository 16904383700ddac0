package main

import (
	"net/netip"
	"testing"

	"transom/flow"
	"transom/platform/doctor"
)

func TestAddRefusal(t *testing.T) {
	c := &doctor.Clients{}
	for _, client := range []struct{ addr, mac, program string }{
		{"192.168.1.2:4001", "", ""}, // the newest, whose device is not looked up yet
		{"192.168.1.2:4000", "02:00:5e:10:00:01", ""},
		{"192.168.1.3:4000", "02:00:5e:10:00:02", ""},
		{"192.168.1.1:4000", "", "curl"},
		{"192.168.1.1:4001", "", "wget"},
	} {
		conn := &flow.Conn{Client: netip.MustParseAddrPort(client.addr)}
		if client.mac != "" {
			conn.Device = &flow.Device{MAC: client.mac}
		}
		if client.program != "" {
			conn.Process = &flow.Process{Name: client.program}
		}
		addRefusal(c, &flow.Flow{Conn: conn, Detail: &flow.Connection{}})
	}
	want := []doctor.Refusal{{Name: "02:00:5e:10:00:01", Count: 2}, {Name: "02:00:5e:10:00:02", Count: 1}, {Name: "curl", Count: 1}, {Name: "wget", Count: 1}}
	if len(c.Refusals) != len(want) {
		t.Fatalf("%+v", c.Refusals)
	}
	for i, r := range c.Refusals {
		if r.Name != want[i].Name || r.Count != want[i].Count {
			t.Errorf("%+v, want %+v", r, want[i])
		}
	}
}
