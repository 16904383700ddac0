package nettest_test

import (
	"testing"
)

// TestUpgrade has curl and nghttp ask for HTTP/2 by an Upgrade of HTTP/1.1 (RFC
// 7540, section 3.2), of the proxy that comes with nghttp2, before a stock nginx.
func TestUpgrade(t *testing.T) {
	need(t, "nghttpx", "nghttp", "curl", "nginx", "iptables")
	w := newWorld(t)
	w.nginx()
	front := w.command(w.Server, "nghttpx", "-f*,81;no-tls", "-b127.0.0.1,80", "--workers=1", "--conf=/dev/null")
	out := newOutput()
	front.Stdout, front.Stderr = out, out
	if err := front.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nghttpx", func() bool {
		c, err := w.Server.Dial(w.ctx, addrPort(families[0].addr, 81))
		return err == nil && c.Close() == nil
	})
	url := "http://" + families[0].host + ":81"
	asked := []program{
		{name: "curl", needs: "curl", args: []string{"-sSi", "--http2", url + "/", url + "/large.txt", url + "/missing"}},
		{name: "nghttp", needs: "nghttp", args: []string{"-u", url + "/large.txt"}},
	}
	ask := func() (answers []string) {
		for _, p := range asked {
			answers = append(answers, undated(w.must(w.Client, p.needs, p.args...)))
		}
		return answers
	}
	straight := ask()
	w.redirect("81")
	proxy := w.transom("--json")
	through := ask()
	proxy.stop()
	for i, p := range asked {
		if through[i] != straight[i] || straight[i] == "" {
			t.Errorf("%s got\n%.1000s\nthrough the proxy, and without it\n%.1000s", p.name, through[i], straight[i])
		}
	}
	status := map[string]int{}
	for _, r := range proxy.records() {
		status[r.Request.HTTP]++
		if r.Type != "http" || r.Error != "" {
			t.Errorf("recorded %+v", r)
		}
	}
	// An upgraded request is there twice, as it was sent and as it was answered.
	if status["HTTP/1.1"] < 4 || status["HTTP/2.0"] < 2 {
		t.Errorf("recorded %v", status)
	}
	if t.Failed() {
		t.Logf("nghttpx printed:\n%s", out)
	}
}
