package nettest_test

import (
	"regexp"
	"testing"

	"transom/platform/lab"
)

// TestDoctorClients: what only clients know of the certificate, they have told the
// transom that runs.
func TestDoctorClients(t *testing.T) {
	need(t, "curl")
	w := newGatewayWorld(t)
	w.site()
	g := w.gateway("--ssl-insecure")
	ask := func(host string, more ...string) error {
		_, _, err := w.try(w.Client, "curl", append([]string{
			"-sS", "--max-time", "120", "--resolve", host + ":443:" + lab.ServerAddr4, "https://" + host + "/",
		}, more...)...)
		return err
	}
	refused := 0
	refuse := func(host string) {
		t.Helper()
		if code := exitCode(ask(host)); code != 60 { // CURLE_PEER_FAILED_VERIFICATION
			t.Fatalf("curl ended with %d", code)
		}
		refused++
		g.await(refused, of("tls"))
	}
	is := func(level, what string) {
		t.Helper()
		for _, f := range w.doctor("-v") {
			if f.ID == "clients" {
				if f.Level != level || !regexp.MustCompile(what).MatchString(f.What+"; "+f.Why+"; "+f.Mend) {
					t.Errorf("%+v, want a %s: %s", f, level, what)
				}
				return
			}
		}
		t.Errorf("nothing is said of clients, want %s", what)
	}

	is("ok", "no client has refused")
	refuse("shop.test")
	is("warning", `^\S*( \()?192\.168\.1\.2\)? has refused the certificate once for shop\.test at .*install the certificate on it, from http://192\.168\.1\.1:8080/`)
	refuse("shop.test")
	is("warning", `has refused the certificate 2 times, the last one for shop\.test at `)
	if err := ask("shop.test", "--cacert", g.trusts()); err != nil {
		t.Fatal(err)
	}
	is("ok", "no client has refused")
	refuse("bank.test")
	is("note", `^a program of .* for bank\.test at .*pinning.*--ignore-hosts '\^bank\\\.test:'`)
}
