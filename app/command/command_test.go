package command_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/app/command"
	"transom/flow"
	"transom/internal/testnet"
	"transom/store"
)

var ctx = context.Background()

// A server writes down what it is sent.
type server struct {
	net.Listener
	got chan sent
	wg  sync.WaitGroup
}

// sent is one request as it came.
type sent struct {
	line   string
	fields []string
	body   string
}

func newServer(t *testing.T) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, got: make(chan sent, 64)}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() { l.Close(); s.wg.Wait() })
	return s
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Minute))
	r := bufio.NewReader(c)
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	got := sent{line: strings.TrimSuffix(line, "\r\n")}
	size, chunked := 0, false
	for {
		f, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if f = strings.TrimSuffix(f, "\r\n"); f == "" {
			break
		}
		got.fields = append(got.fields, f)
		name, value, _ := strings.Cut(f, ":")
		switch strings.ToLower(name) {
		case "content-length":
			size, _ = strconv.Atoi(strings.TrimSpace(value))
		case "transfer-encoding":
			chunked = true
		case "expect":
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
		}
	}
	for chunked {
		line, _ := r.ReadString('\n')
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		p := make([]byte, n+2)
		if _, e := io.ReadFull(r, p); err != nil || e != nil || n == 0 {
			break
		}
		got.body += string(p[:n])
	}
	p := make([]byte, size)
	io.ReadFull(r, p)
	got.body += string(p)
	s.got <- got // first, so that the next one comes behind it
	io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

// A request to say, and what is lost of it by formats other than curl.
type said struct {
	name   string
	method string
	target string
	fields flow.Header
	body   string
}

var (
	all   = allBytes()
	nasty = "it's a \"test\" $HOME `id` $(id) \\n \\ % !! & ; | > * ? ~ # {a,b}"
)

func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

var requests = []said{
	{"plain", "GET", "/a/b?x=1&y=2", flow.Header{{Name: "User-Agent", Value: "x/1"}, {Name: "accept", Value: "*/*"}, {Name: "X-B", Value: "2"}, {Name: "X-A", Value: "1"}}, ""},
	{"bare", "GET", "/", nil, ""},
	{"quotes", "POST", "/q?a='b'&c=\"d\"", flow.Header{{Name: "X-Nasty", Value: nasty}, {Name: "Content-Type", Value: "text/plain"}}, nasty},
	{"at", "POST", "/", flow.Header{{Name: "X-At", Value: "@/etc/passwd"}, {Name: "X-Json", Value: "=@/etc/passwd"}, {Name: "X-Colon", Value: ":=1"}}, "@/etc/passwd"},
	{"dashes", "PUT", "/", flow.Header{{Name: "X-Dash", Value: "--output /tmp/x"}, {Name: "-o", Value: "x"}}, "--data @/etc/passwd"},
	{"lines", "POST", "/", flow.Header{{Name: "Content-Type", Value: "text/plain"}}, "a\nb\n\n"},
	{"crlf", "POST", "/", flow.Header{{Name: "Content-Type", Value: "text/plain"}}, "a\r\nb\t\r\n"},
	{"bytes", "POST", "/", flow.Header{{Name: "Content-Type", Value: "application/octet-stream"}}, all},
	{"empty-body", "POST", "/", flow.Header{{Name: "Content-Length", Value: "0"}}, ""},
	{"empty-field", "GET", "/", flow.Header{{Name: "X-Empty", Value: ""}}, ""},
	{"twice", "GET", "/", flow.Header{{Name: "X-Two", Value: "1"}, {Name: "X-Two", Value: "2"}}, ""},
	{"control", "GET", "/", flow.Header{{Name: "X-Esc", Value: "a\x1b[31mb\tc"}, {Name: "X-Bidi", Value: "a\u202eb"}}, ""},
	{"not-utf8", "GET", "/", flow.Header{{Name: "X-Latin", Value: "caf\xe9"}}, ""},
	{"large", "POST", "/", flow.Header{{Name: "Content-Type", Value: "text/plain"}}, strings.Repeat("0123456789abcdef", 20_000)},
	{"chunked", "POST", "/", flow.Header{{Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Content-Type", Value: "a/b"}}, "in chunks"},
	{"get-with-body", "GET", "/", flow.Header{{Name: "Content-Type", Value: "a/b"}}, "body"},
	{"odd-method", "QUERY!", "/", nil, ""},
	{"dots", "GET", "/a/../b/./c", nil, ""},
	{"multipart", "POST", "/up", flow.Header{{Name: "Content-Type", Value: `multipart/form-data; boundary="x y"`}}, "--x y\r\nContent-Disposition: form-data; name=\"f\"; filename=\"ü\"\r\n\r\n" + allBytes() + "\r\n--x y--\r\n"},
	{"form", "POST", "/%2F%C3%BC?a=%20+", flow.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}, "a=%20b&c=@x&d=+"},
	{"octal", "POST", "/", flow.Header{{Name: "Content-Type", Value: "a/b"}}, "\x019\x008%d\xff7"},
	{"unicode", "POST", "/", flow.Header{{Name: "X-U", Value: "grüße €"}, {Name: "Content-Type", Value: "text/plain"}}, "\ufeffgrüße €𝄞\u2028"},
	{"backslash", "POST", "/", flow.Header{{Name: "X-Back", Value: `a\:b\=c\\`}, {Name: "X-Eq", Value: "a==b:=c@d"}, {Name: "Content-Type", Value: "a/b"}}, `\`},
	{"cookies", "GET", "/", flow.Header{{Name: "cookie", Value: "a=1"}, {Name: "cookie", Value: "b=2; c"}}, ""},
	{"accepts", "GET", "/", flow.Header{{Name: "accept-encoding", Value: "gzip, br;q=0.5"}, {Name: "Authorization", Value: "Bearer x"}}, ""},
	{"expects", "POST", "/", flow.Header{{Name: "Expect", Value: "100-continue"}, {Name: "Content-Type", Value: "a/b"}}, strings.Repeat("x", 2000)},
	{"escapes", "GET", "/%2e%2E/%zz?%", nil, ""},
	{"lower-case", "post", "/", flow.Header{{Name: "Content-Type", Value: "a/b"}}, "x"},
	{"odd-target", "GET", "/[1-3]{a,b}#x|y?\"<>", nil, ""},
}

// flow makes a flow of a request to a server.
func (s *said) flow(to net.Addr, bodies store.Store) *flow.Flow {
	body := bodies.NewBody()
	io.WriteString(body, s.body)
	return &flow.Flow{ID: flow.NewID(time.Now()), Start: time.Now(), State: flow.Done, Conn: &flow.Conn{}, Detail: &flow.HTTP{
		Request:     &flow.RequestHead{Method: s.method, Scheme: "http", Authority: to.String(), Target: s.target, Proto: flow.HTTP11, Header: s.fields},
		RequestBody: body.Ref(),
	}}
}

func text(t testing.TB, format string, f *flow.Flow, bodies store.Store) string {
	t.Helper()
	var b bytes.Buffer
	if err := command.Write(ctx, &b, format, f, bodies, command.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// left drops the fields that programs set as they like.
func left(fields []string, names ...string) (rest []string) {
	for _, f := range fields {
		name, _, _ := strings.Cut(strings.ToLower(f), ":")
		if !slices.Contains(names, name) {
			rest = append(rest, f)
		}
	}
	return rest
}

// wants are the fields of a request as they should come.
func (s *said) wants() (fields []string) {
	for _, f := range s.fields {
		fields = append(fields, strings.TrimSuffix(f.Name+": "+f.Value, " "))
	}
	return fields
}

func run(t *testing.T, dir string, name string, arg ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, arg...)
	cmd.Dir = dir
	if err := os.WriteFile(filepath.Join(dir, ".netrc"), []byte("machine 127.0.0.1\nlogin l\npassword p\n"), 0o600); err != nil {
		t.Fatal(err) // which is not for a request that is sent again
	}
	cmd.Env = append(os.Environ(), "HOME="+dir, "no_proxy=*", "NO_PROXY=*", "GOCACHE="+cache(), "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%.2000s", name, err, out)
	}
	if name := filepath.Join(dir, "x"); exists(name) {
		t.Error("a file was written")
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func cache() string {
	out, _ := exec.Command("go", "env", "GOCACHE").Output()
	return strings.TrimSpace(string(out))
}

func need(t *testing.T, name string, arg ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil && len(arg) > 0 {
		err = exec.Command(path, arg...).Run()
	}
	testnet.Need(t, err == nil, "the program "+strings.Join(append([]string{name}, arg...), " "))
}

// TestCurl: what curl sends is what was recorded: the first line, the fields in their
// order, the body, byte for byte.
func TestCurl(t *testing.T) {
	need(t, "curl", "--version")
	s := newServer(t)
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	for _, r := range requests {
		t.Run(r.name, func(t *testing.T) {
			dir := t.TempDir()
			script := filepath.Join(dir, "said.sh")
			os.WriteFile(script, []byte(text(t, "curl", r.flow(s.Addr(), bodies), bodies)), 0o600)
			run(t, dir, "sh", script)
			got := <-s.got
			if want := r.method + " " + r.target + " HTTP/1.1"; got.line != want {
				t.Errorf("line %q, want %q", got.line, want)
			}
			if fields, want := left(got.fields, "host", "content-length"), left(r.wants(), "content-length"); !slices.Equal(fields, want) {
				t.Errorf("fields %q, want %q", fields, want)
			}
			if got.body != r.body {
				t.Errorf("body %.300q, want %.300q", got.body, r.body)
			}
		})
	}
	t.Run("without-host", func(t *testing.T) {
		dir := t.TempDir()
		script := filepath.Join(dir, "said.sh")
		f := (&said{"", "GET", "/", nil, ""}).flow(s.Addr(), bodies)
		f.Detail.(*flow.HTTP).Request.Proto = flow.HTTP10
		os.WriteFile(script, []byte(text(t, "curl", f, bodies)), 0o600)
		run(t, dir, "sh", script)
		if got := <-s.got; got.line != "GET / HTTP/1.0" || len(got.fields) > 0 {
			t.Errorf("%+v", got)
		}
	})
}

// TestCurlHTTP2: what was HTTP/2 is sent as that, with all its fields.
func TestCurlHTTP2(t *testing.T) {
	need(t, "curl", "--version")
	out, _ := exec.Command("curl", "--version").Output()
	testnet.Need(t, bytes.Contains(out, []byte("HTTP2")), "a curl that knows HTTP/2")
	got := make(chan *http.Request, 1)
	var body []byte
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		got <- r
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	fields := flow.Header{
		{Name: "cookie", Value: "a=1"},
		{Name: "cookie", Value: "b=2"},
		{Name: "te", Value: "trailers"},
		{Name: "x-two", Value: "1"},
		{Name: "x-two", Value: "2"},
		{Name: "x-empty", Value: ""},
		{Name: "accept-encoding", Value: "gzip, zstd"},
		{Name: "content-type", Value: "a/b"},
	}
	f := (&said{"", "PUT", "/a/../b?c=\"d\"", fields, all}).flow(s.Listener.Addr(), bodies)
	h := f.Detail.(*flow.HTTP)
	h.Request.Scheme, h.Request.Proto = "https", flow.HTTP2
	h.Request.H2 = &flow.H2Head{Pseudo: flow.Header{{Name: ":method", Value: "PUT"}, {Name: ":path", Value: h.Request.Target}}}
	dir := t.TempDir()
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "root.pem"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "said.sh"), []byte("export CURL_CA_BUNDLE=root.pem\n"+text(t, "curl", f, bodies)), 0o600)
	run(t, dir, "sh", "said.sh")
	r := <-got
	want := http.Header{
		"Cookie": {"a=1; b=2"}, "Te": {"trailers"}, "X-Two": {"1", "2"}, "X-Empty": {""}, "Accept-Encoding": {"gzip, zstd"}, "Content-Type": {"a/b"}, "Content-Length": {"256"},
	}
	if r.Proto != "HTTP/2.0" || r.Method != "PUT" || r.RequestURI != h.Request.Target || string(body) != all {
		t.Errorf("%s %s %s, %d bytes", r.Method, r.RequestURI, r.Proto, len(body))
	}
	if diff := cmp.Diff(want, r.Header); diff != "" {
		t.Error(diff)
	}
}

// TestPrograms: so do the others, but for what they can't leave.
func TestPrograms(t *testing.T) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	for format, p := range map[string]struct {
		file    string
		each    string // how several are put together
		run     []string
		probe   []string
		own     []string // fields that it sets itself
		without []string // requests that it can't make
	}{
		"python": {
			"said.py", "%s",
			[]string{"python3", "said.py"},
			[]string{"python3", "-c", "import requests"},
			[]string{"host", "content-length", "accept-encoding"},
			[]string{"twice", "dots", "odd-target", "quotes", "control", "cookies", "escapes", "lower-case"},
		},
		"fetch": {
			"said.mjs", "%s",
			[]string{"node", "said.mjs"},
			[]string{"node", "--version"},
			[]string{"host", "content-length", "accept-encoding", "connection", "accept", "accept-language", "sec-fetch-mode", "user-agent", "transfer-encoding"},
			[]string{"twice", "dots", "odd-target", "quotes", "get-with-body", "odd-method", "control", "empty-body", "cookies", "escapes", "lower-case", "expects"},
		},
		"httpie": {
			"said.sh", "%s",
			[]string{"sh", "said.sh"},
			[]string{"http", "--version"},
			[]string{"host", "content-length", "accept-encoding", "connection", "user-agent"}, // It takes long to start, so that it is asked for the worst alone.
			[]string{"twice", "odd-target", "quotes", "dots", "control", "plain", "bare", "lines", "large", "get-with-body", "odd-method", "empty-body", "not-utf8", "form", "unicode", "cookies", "expects", "escapes", "lower-case", "octal", "backslash"},
		},
	} {
		t.Run(format, func(t *testing.T) {
			need(t, p.probe[0], p.probe[1:]...)
			s := newServer(t)
			script, can := "", []said{}
			for _, r := range requests {
				if !slices.Contains(p.without, r.name) {
					script += fmt.Sprintf(p.each, text(t, format, r.flow(s.Addr(), bodies), bodies))
					can = append(can, r)
				}
			}
			dir := t.TempDir()
			os.WriteFile(filepath.Join(dir, p.file), []byte(script), 0o600)
			run(t, dir, p.run[0], p.run[1:]...)
			for _, r := range can {
				t.Run(r.name, func(t *testing.T) { r.compare(t, <-s.got, p.own) })
			}
		})
	}
}

// compare compares what came with what should, without regard to the order and the
// case of fields.
func (s *said) compare(t *testing.T, got sent, own []string) {
	if want := s.method + " " + s.target + " HTTP/1.1"; got.line != want {
		t.Errorf("line %q, want %q", got.line, want)
	}
	fields, want := left(got.fields, own...), left(s.wants(), own...)
	for _, list := range [][]string{fields, want} {
		for i := range list {
			name, value, _ := strings.Cut(list[i], ":")
			list[i] = strings.ToLower(name) + ":" + strings.TrimSpace(value)
		}
		slices.Sort(list)
	}
	if !slices.Equal(fields, want) {
		t.Errorf("fields %q, want %q", fields, want)
	}
	if got.body != s.body {
		t.Errorf("body %.300q, want %.300q", got.body, s.body)
	}
}

// TestGo makes one program of the worst request, since that takes long.
func TestGo(t *testing.T) {
	need(t, "go", "version")
	s := newServer(t)
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	r := said{"", "POST", "/a/../[b]?\"<|", flow.Header{
		{Name: "X-Nasty", Value: nasty}, {Name: "x-case", Value: "caf\xe9"}, {Name: "X-Two", Value: "1"}, {Name: "X-Two", Value: "2"},
	}, all + nasty}
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "said.go"), []byte(text(t, "go", r.flow(s.Addr(), bodies), bodies)), 0o600)
	run(t, dir, "go", "run", "said.go")
	got := <-s.got
	fields, want := left(got.fields, "host", "content-length"), r.wants()
	slices.Sort(fields)
	slices.Sort(want)
	if got.line != r.method+" "+r.target+" HTTP/1.1" || got.body != r.body || !slices.Equal(fields, want) {
		t.Errorf("%+v", got)
	}
}

// TestRaw: the bytes as they were.
func TestRaw(t *testing.T) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	r := said{"", "POST", "/x", flow.Header{{Name: "Host", Value: "a"}, {Name: "Transfer-Encoding", Value: "chunked"}}, all}
	f := r.flow(&net.TCPAddr{}, bodies)
	h := f.Detail.(*flow.HTTP)
	h.Request.Raw = []byte("POST /x HTTP/1.1\r\nHost:a\r\nTransfer-Encoding:  chunked\r\n\r\n")
	h.RequestTrailer = flow.Header{{Name: "T", Value: "1"}}
	h.Response = &flow.ResponseHead{Status: 204, Reason: "Nothing", Proto: flow.HTTP11, Header: flow.Header{{Name: "A", Value: "b"}}}
	request := string(h.Request.Raw) + "100\r\n" + all + "\r\n0\r\nT: 1\r\n\r\n"
	response := "HTTP/1.1 204 Nothing\r\nA: b\r\n\r\n"
	for format, want := range map[string]string{"raw_request": request, "raw_response": response, "raw": request + "\r\n\r\n" + response} {
		if got := text(t, format, f, bodies); got != want {
			t.Errorf("%s: %q, want %q", format, got, want)
		}
	}
}

// TestHTTPieNotUTF8: HTTPie knows no fields that are not UTF-8.
func TestHTTPieNotUTF8(t *testing.T) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	r := said{"", "GET", "/", flow.Header{{Name: "X-Latin", Value: "caf\xe9"}}, ""}
	got := text(t, "httpie", r.flow(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, bodies), bodies)
	if !strings.HasPrefix(got, "# left out: the field X-Latin, which is not UTF-8\n") || strings.Contains(got, "caf") {
		t.Error(got)
	}
}

// TestNotSaid: what can't be said is an error, or a comment that can't be left.
func TestNotSaid(t *testing.T) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	r := said{"", "GET", "/", flow.Header{{Name: "X\n; id", Value: "1"}, {Name: "A", Value: "b\r\nX: 1\x00"}}, ""}
	f := r.flow(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, bodies)
	for _, format := range []string{"curl", "httpie", "python", "fetch", "go"} {
		got := text(t, format, f, bodies)
		sign := map[string]string{"fetch": "//", "go": "//"}[format]
		if sign == "" {
			sign = "#"
		}
		if n := strings.Count(got, sign+" left out"); n != 2 || strings.Contains(got, "\n; id") {
			t.Errorf("%s: %d notes in %s", format, n, got)
		}
	}
	for name, c := range map[string]struct {
		change func(h *flow.HTTP)
		want   error
	}{
		"cut":     {func(h *flow.HTTP) { h.RequestBody = flow.BodyRef{Size: 2, Kept: 1, Truncated: true} }, command.ErrCut},
		"tunnel":  {func(h *flow.HTTP) { h.Request.Method = "CONNECT" }, command.ErrNoRequest},
		"scheme":  {func(h *flow.HTTP) { h.Request.Target = "-x://a/" }, command.ErrNoRequest},
		"host":    {func(h *flow.HTTP) { h.Request.Authority = "$(id)" }, command.ErrNoRequest},
		"method":  {func(h *flow.HTTP) { h.Request.Method = "GET\n" }, command.ErrNoRequest},
		"target":  {func(h *flow.HTTP) { h.Request.Target = "/\r\nX: 1" }, command.ErrNoRequest},
		"request": {func(h *flow.HTTP) { h.Request = nil }, command.ErrNoRequest},
	} {
		t.Run(name, func(t *testing.T) {
			f := r.flow(&net.TCPAddr{}, bodies)
			c.change(f.Detail.(*flow.HTTP))
			if err := command.Write(ctx, io.Discard, "curl", f, bodies, command.Options{}); !errors.Is(err, c.want) {
				t.Error(err)
			}
		})
	}
	if err := command.Write(ctx, io.Discard, "raw_response", f, bodies, command.Options{}); !errors.Is(err, command.ErrNoResponse) {
		t.Error(err)
	}
	if err := command.Write(ctx, io.Discard, "cobol", f, bodies, command.Options{}); err == nil {
		t.Error("a format that is none was written")
	}
}

// TestNoted: what a program sends otherwise than it was is said beside it, and what it would
// send elsewhere, or not at all, is none of its requests.
func TestNoted(t *testing.T) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	two := flow.Header{{Name: "X-Two", Value: "1"}, {Name: "x-two", Value: "2"}, {Name: "X-Two", Value: "3"}}
	control := flow.Header{{Name: "X-Esc", Value: "a\x1b"}}
	for _, c := range []struct {
		format, method, target string
		fields                 flow.Header
		want                   string
	}{
		{"python", "get", "/", nil, "# requests writes the method in capitals\n"},
		{"httpie", "get", "/", nil, "# HTTPie writes the method in capitals\n"},
		{"fetch", "get", "/", nil, "// fetch writes the method in capitals\n"},
		{"fetch", "patch", "/", nil, ""},
		{"python", "GET", "/", two, "# the fields X-Two are sent as one\n"},
		{"fetch", "GET", "/", two, "// the fields X-Two are sent as one\n"},
		{"python", "GET", "/%2f", nil, "# requests may write the target in another way\n"},
		{"python", "GET", "/%41", nil, "# requests may write the target in another way\n"},
		{"python", "GET", "//a", nil, "# requests may write the target in another way\n"},
		{"python", "GET", "/%2F", nil, ""},
		{"fetch", "GET", "/%2E%2e/", nil, "// fetch may write the target in another way\n"},
		{"fetch", "GET", "/%2f", nil, ""},
		{"fetch", "GET", "/", control, "// left out: the field X-Esc, which has "},
		{"go", "GET", "/", control, "// left out: the field X-Esc, which has "},
		{"go", "GET", "//[", nil, "// net/http sends the target as a whole URL\n"},
		{"httpie", "GET", "/", flow.Header{{Name: "X", Value: `a\:b`}}, "# left out: the field X, which has "},
		{"httpie", "QUERY!", "/", nil, "-"},
		{"fetch", "Trace", "/", nil, "-"},
		{"python", "TRACE", "/", nil, ""},
	} {
		r := said{"", c.method, c.target, c.fields, ""}
		var b strings.Builder
		err := command.Write(ctx, &b, c.format, r.flow(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, bodies), bodies, command.Options{})
		if (c.want == "-") != errors.Is(err, command.ErrNoRequest) {
			t.Errorf("%s of %s %s: %v", c.format, c.method, c.target, err)
		}
		got, _, _ := strings.Cut(b.String(), "\n")
		if c.want != "-" && (!strings.HasPrefix(b.String(), c.want) || c.want == "" && (got[0] == '#' || got[:2] == "//")) {
			t.Errorf("%s of %s %s begins %s, want %s", c.format, c.method, c.target, got, c.want)
		}
	}
}

func TestResolve(t *testing.T) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	r := said{"", "GET", "/", flow.Header{{Name: "Accept-Encoding", Value: "gzip, br"}}, ""}
	f := r.flow(&net.TCPAddr{}, bodies)
	f.Detail.(*flow.HTTP).Request.Authority = "shop.test:8080"
	f.Conn.Dst = netip.MustParseAddrPort("[2001:db8::1]:8080")
	var b bytes.Buffer
	if err := command.Write(ctx, &b, "curl", f, bodies, command.Options{Resolve: true}); err != nil {
		t.Fatal(err)
	}
	want := "curl \\\n  --compressed \\\n  -H 'Accept-Encoding: gzip, br' \\\n  -H User-Agent: \\\n  -H Accept: \\\n  --resolve 'shop.test:8080:[2001:db8::1]' \\\n  http://shop.test:8080/\n"
	if b.String() != want {
		t.Errorf("got %s, want %s", b.String(), want)
	}
}

func BenchmarkCurl(b *testing.B) {
	bodies := store.NewMemory(store.MemoryOptions{})
	defer bodies.Close()
	r := requests[2]
	f := r.flow(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}, bodies)
	b.ReportAllocs()
	for b.Loop() {
		if err := command.Write(ctx, io.Discard, "curl", f, bodies, command.Options{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
