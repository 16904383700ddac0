package nettest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestDump: what passes is in a HAR file and in one of packets that tshark reads, and
// secrets are in none.
func TestDump(t *testing.T) {
	need(t, "curl", "tshark")
	const secret = "s3cr3t"
	for _, redacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("redacted-%v", redacted), func(t *testing.T) { dump(t, secret, redacted) })
	}
}

func dump(t *testing.T, secret string, redacted bool) {
	w := newWorld(t)
	w.serve(func(rw http.ResponseWriter, req *http.Request) {
		http.SetCookie(rw, &http.Cookie{Name: "a", Value: secret})
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"name":"ann","token":"` + secret + `"}`))
	})
	w.redirect("80,443")
	args := []string{"--hardump", "flows.har", "--pcap", "flows.pcapng", "-w", "flows.mitm", "-q", "!~u left-out"}
	if redacted {
		args = append([]string{"--redact", "secrets"}, args...)
	}
	p := w.transom(args...)
	cert := w.trusted()
	for _, args := range [][]string{
		{"-H", "Authorization: Bearer " + secret, "https://shop.example/a?api_key=" + secret}, {"-d", "password=" + secret, "http://shop.example/b"}, {"http://shop.example/left-out"},
	} {
		if _, stderr, err := w.curl(cert, args...); err != nil {
			t.Fatalf("curl %s: %v\n%s", args, err, stderr)
		}
	}
	p.stop()
	var doc struct {
		Log struct {
			Entries []struct{ Request struct{ URL string } }
		}
	}
	data, err := os.ReadFile(w.path("flows.har"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &doc); err != nil || len(doc.Log.Entries) != 2 {
		t.Errorf("%v in %s", err, data)
	}
	if _, kinds := saved(t, w.path("flows.har")); kinds["http"] != 2 {
		t.Errorf("read again: %v", kinds)
	}
	if _, kinds := saved(t, w.path("flows.mitm")); kinds["http"] != 2 {
		t.Errorf("saved: %v", kinds)
	}
	said := w.must(w.Client, "tshark", "-n", "-r", w.path("flows.pcapng"), "-Y", "http", "-T", "fields", "-e", "http.request.method", "-e", "http.response.code", "-e", "http.file_data")
	for _, want := range []string{"GET\t\t", "POST\t\tpassword=", "\t200\t{\"name\":\"ann\""} {
		newer := fmt.Sprintf("%x", want[strings.LastIndex(want, "\t")+1:]) // bytes in hexadecimal
		if !strings.Contains(said, want) && !strings.Contains(said, want[:strings.LastIndex(want, "\t")+1]+newer) {
			t.Errorf("tshark has not found %q:\n%s", want, said)
		}
	}
	for _, name := range []string{"flows.har", "flows.pcapng", "flows.mitm"} {
		data, err := os.ReadFile(w.path(name))
		if err != nil {
			t.Fatal(err)
		}
		if leaks := bytes.Contains(data, []byte(secret)); leaks == redacted {
			t.Errorf("redacted %v: %s leaks: %v", redacted, name, leaks)
		}
		if info, err := os.Stat(w.path(name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
	}
	data, err = os.ReadFile(w.path("flows.pcapng"))
	if keys := bytes.Contains(data, []byte("CLIENT_TRAFFIC_SECRET_0 ")); err != nil || keys == redacted {
		t.Errorf("redacted %v: keys are in the file: %v", redacted, keys)
	}
	if redacted != strings.Contains(p.log.String(), "the keys of TLS are not in the file") {
		t.Errorf("redacted %v: what is said is not so", redacted)
	}
}
