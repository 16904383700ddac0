package landing_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"mime"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"transom/app/landing"
	"transom/ca"
	"transom/exchange"
	"transom/flow"
)

func authority(t testing.TB) *ca.Authority {
	t.Helper()
	a, err := ca.New(ca.Options{ECDSA: true, Host: "den"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask makes one request and returns the response and its body.
func ask(t testing.TB, h exchange.Handler, method, target string, c *flow.Conn, fields ...flow.Field) (*exchange.Response, string) {
	t.Helper()
	req := &exchange.Request{Conn: c, Body: exchange.NoBody()}
	req.Method, req.Target, req.Scheme, req.Header = method, target, "http", fields
	resp, err := h.Exchange(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func conn(via string) *flow.Conn {
	return &flow.Conn{
		Via: via, Client: netip.MustParseAddrPort("192.168.1.20:50000"),
		Local: netip.MustParseAddrPort("[::ffff:192.168.1.1]:8080"),
	}
}

func TestPage(t *testing.T) {
	a := authority(t)
	h := landing.Handler(a)
	resp, body := ask(t, h, "GET", "/?utm=1", conn("direct"))
	if resp.Status != 200 || resp.Reason != "OK" || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("status %d, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	if resp.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
		t.Errorf("Content-Length is %s of %d", resp.Header.Get("Content-Length"), len(body))
	}
	text := visible(t, body)
	for _, want := range []string{
		a.Info().Name, a.Info().SHA256, a.Info().SHA1, "can read and change", "transom\u00a0ca\u00a0show",
		"curl -o transom-ca-cert.pem http://192.168.1.1:8080/cert/pem", "Certificate Trust Settings",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if i := strings.IndexAny(text, "{}"); i >= 0 {
		t.Errorf("something was not filled in: %q", text[max(0, i-20):min(len(text), i+20)])
	}
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		if m[1] == "data:," {
			continue
		}
		if resp, _ := ask(t, h, "GET", m[1], conn("direct")); resp.Status != 200 {
			t.Errorf("the page links to %s, which is %d", m[1], resp.Status)
		}
	}
	if strings.Contains(body, "<script") || strings.Contains(body, "https://") || strings.Contains(body, "src=") {
		t.Error("the page loads something")
	}
}

// visible checks that elements are closed in order and identifiers are unique,
// and returns the text.
func visible(t *testing.T, body string) string {
	t.Helper()
	var text strings.Builder
	var open []string
	ids := map[string]bool{}
	for z := html.NewTokenizer(strings.NewReader(body)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			if len(open) > 0 {
				t.Errorf("not closed: %q", open)
			}
			return text.String()
		}
		tok := z.Token()
		switch kind {
		case html.StartTagToken:
			for _, a := range tok.Attr {
				if a.Key == "id" && ids[a.Val] {
					t.Errorf("the id %s is there twice", a.Val)
				}
				ids[a.Val] = ids[a.Val] || a.Key == "id"
			}
			if !strings.Contains(" meta link wbr ", " "+tok.Data+" ") {
				open = append(open, tok.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != tok.Data {
				t.Fatalf("</%s> closes %q", tok.Data, open)
			}
			open = open[:len(open)-1]
		case html.TextToken:
			if len(open) == 0 || open[len(open)-1] != "style" {
				text.WriteString(tok.Data)
			}
		}
	}
}

func TestHow(t *testing.T) {
	h := landing.Handler(authority(t))
	for via, want := range map[string]string{
		"direct": "came directly", "redirect": "was redirected", "tproxy": "was redirected", "divert": "was redirected",
		"proxy": "by proxy settings", "connect": "by proxy settings",
	} {
		_, body := ask(t, h, "GET", "/", conn(via))
		if text := visible(t, body); !strings.Contains(text, want) || !strings.Contains(text, "192.168.1.20") {
			t.Errorf("by %s the page does not say %q", via, want)
		}
	}
	if _, body := ask(t, h, "GET", "/", nil); !strings.Contains(body, "PROXY:8080") {
		t.Error("without a connection the page does not say where it is")
	}
}

func TestOrder(t *testing.T) {
	h := landing.Handler(authority(t))
	first := regexp.MustCompile(`<details id="(\w+)" open>`)
	for agent, want := range map[string]string{
		"": "ios",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148 Safari/604.1": "ios",
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36":                   "android",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36":                         "windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15":                   "macos",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                              "linux",
		"curl/8.14.1":  "linux",
		"Java/21.0.2":  "java",
		"<b>Android</": "android",
	} {
		_, body := ask(t, h, "GET", "/", conn("direct"), flow.Field{Name: "user-agent", Value: agent})
		got := first.FindAllStringSubmatch(body, -1)
		if len(got) != 1 || got[0][1] != want || strings.Index(body, "<details") != strings.Index(body, got[0][0]) {
			t.Errorf("for %q what is unfolded is %q, want only %s, first", agent, got, want)
		}
		if n := strings.Count(body, "<details"); n != 7 {
			t.Errorf("for %q there are %d guides", agent, n)
		}
	}
}

func TestDownloads(t *testing.T) {
	a := authority(t)
	h := landing.Handler(a)
	for path, format := range map[string]ca.Format{
		"/cert/pem": ca.PEM, "/cert/cer": ca.DER, "/cert/p12": ca.PKCS12, "/cert/p12-legacy": ca.PKCS12Legacy,
		"/cert/mobileconfig": ca.MobileConfig, "/cert/android": ca.Android, "/cert/hashed": ca.Hashed,
	} {
		t.Run(path[6:], func(t *testing.T) {
			want, err := a.Export(format)
			if err != nil {
				t.Fatal(err)
			}
			for _, target := range []string{path, "http://192.168.1.1:8080" + path + "?x=/"} {
				resp, body := ask(t, h, "GET", target, conn("direct"))
				if resp.Status != 200 || resp.Header.Get("Content-Type") != want.Type {
					t.Errorf("status %d, %s", resp.Status, resp.Header.Get("Content-Type"))
				}
				if !strings.HasPrefix(string(format), "p12") && !bytes.Equal([]byte(body), want.Data) {
					t.Error("it is not the export")
				}
				kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Disposition"))
				if err != nil || kind != "attachment" || params["filename"] != want.Name {
					t.Errorf("Content-Disposition is %s", resp.Header.Get("Content-Disposition"))
				}
				guarded(t, resp)
			}
		})
	}
}

// guarded checks the fields that every response has.
func guarded(t *testing.T, resp *exchange.Response) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") || resp.Header.Get("Date") == "" {
		t.Errorf("fields are %v", resp.Header)
	}
}

func TestContentPolicyAllowsTheStyle(t *testing.T) {
	resp, body := ask(t, landing.Handler(authority(t)), "GET", "/", conn("direct"))
	_, rest, _ := strings.Cut(body, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	h := sha256.Sum256([]byte(style))
	want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(h[:]) + "'"
	if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, want) {
		t.Errorf("policy is %s, want %s in it", got, want)
	}
	if strings.Contains(body, "style=") || strings.Count(body, "<style") != 1 {
		t.Error("there is style that the policy forbids")
	}
}

func TestMethods(t *testing.T) {
	h := landing.Handler(authority(t))
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "get"} {
		resp, body := ask(t, h, method, "/cert/pem", conn("direct"))
		if resp.Status != 405 || resp.Header.Get("Allow") != "GET, HEAD" || body == "" {
			t.Errorf("%s: status %d, Allow %q", method, resp.Status, resp.Header.Get("Allow"))
		}
		guarded(t, resp)
	}
	for _, target := range []string{"/", "/cert/pem", "/none"} {
		get, body := ask(t, h, "GET", target, conn("direct"))
		head, nothing := ask(t, h, "HEAD", target, conn("direct"))
		if nothing != "" || head.Status != get.Status {
			t.Errorf("HEAD %s: status %d, body %q", target, head.Status, nothing)
		}
		if got := head.Header.Get("Content-Length"); got != strconv.Itoa(len(body)) {
			t.Errorf("HEAD %s: Content-Length %s, GET has %d", target, got, len(body))
		}
	}
}

func TestNothingIsReflected(t *testing.T) {
	h := landing.Handler(authority(t))
	const evil = `"><script>alert(1)</script>`
	for _, target := range []string{"/" + evil, "/?" + evil, "/cert/" + evil, "http://" + evil + "/", "*", evil, ""} {
		resp, body := ask(t, h, "GET", target, conn("direct"),
			flow.Field{Name: "Host", Value: evil}, flow.Field{Name: "User-Agent", Value: evil})
		if strings.Contains(body, "script") {
			t.Errorf("%q is reflected", target)
		}
		for _, f := range resp.Header {
			if strings.Contains(f.Value, "alert") {
				t.Errorf("%q is reflected in %s", target, f.Name)
			}
		}
		guarded(t, resp)
		visible(t, body)
	}
	for _, target := range []string{"/none", "/cert", "/cert/", "/cert/key", "/cert/pem/../key", "*"} {
		if resp, _ := ask(t, h, "GET", target, conn("direct")); resp.Status != 404 {
			t.Errorf("%s: status %d", target, resp.Status)
		}
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "", "*", "http://x", "http://x?/y", "/cert/pem?a", "://", "a://b/c", "//x/y"} {
		f.Add(s, "Android")
	}
	h := landing.Handler(authority(f))
	f.Fuzz(func(t *testing.T, target, agent string) {
		resp, body := ask(t, h, "GET", target, conn("direct"), flow.Field{Name: "User-Agent", Value: agent})
		if resp.Status != 200 && resp.Status != 404 || body == "" {
			t.Errorf("status %d, %d bytes", resp.Status, len(body))
		}
	})
}
