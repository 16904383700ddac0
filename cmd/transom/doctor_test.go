package main

import (
	"strings"
	"testing"

	"transom/platform/doctor"
)

func TestDoctorPrints(t *testing.T) {
	found := []doctor.Finding{
		{ID: "rules", Level: doctor.Fault, What: "a rule drops it", Why: "it is so", Mend: "nft 'insert <rule>'"},
		{ID: "traffic", Level: doctor.Note, What: "nothing came in"},
		{ID: "port", Level: doctor.OK, What: "port 8080 is free"},
	}
	const folded = `fault    rules: a rule drops it
         it is so
         mend it: nft 'insert <rule>'
note     traffic: nothing came in
`
	for _, c := range []struct {
		name  string
		flags doctorFlags
		want  string
	}{
		{"folded", doctorFlags{}, folded + "ok       1 more thing is as it should be (-v lists it)\n"},
		{"verbose", doctorFlags{verbose: true}, folded + "ok       port: port 8080 is free\n"},
		{"json", doctorFlags{json: true}, `{"type":"finding","id":"rules","level":"fault","what":"a rule drops it","why":"it is so","mend":"nft 'insert <rule>'"}
{"type":"finding","id":"traffic","level":"note","what":"nothing came in"}
{"type":"finding","id":"port","level":"ok","what":"port 8080 is free"}
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			if err := c.flags.write(&b, found); err != nil || b.String() != c.want {
				t.Errorf("%v\n%s\nwant\n%s", err, b.String(), c.want)
			}
		})
	}
}

// TestGatewayOf reads the command lines of gateways that run.
func TestGatewayOf(t *testing.T) {
	g := gatewayOf([]string{"/usr/bin/transom", "gateway", "--interface", "lan0", "-p", "8081", "--spoof-source", "none", "--json"})
	if g == nil || g.interfaces.String() != "lan0" || g.port.value != 8081 || g.spoof.text != "none" {
		t.Errorf("read as %+v", g)
	}
	for _, args := range [][]string{nil, {"transom", "listen"}, {"transom", "gateway", "--no-such-option"}} {
		if g := gatewayOf(args); g != nil {
			t.Errorf("%q is read as %+v", args, g)
		}
	}
}
